"""Convert rsnn_phoneme: its input matrix becomes a dense layer of its own, for tiles that take signed words.

    python convert.py           # reads ../rsnn_phoneme, writes beside this file

A tile multiplies u = x - 128, a signed word, where the spike-driven PEs multiply the code x, 0 to 255. With the bias
128 sum_i w_ij the sums are those of the codes: sum_i w_ij u_i + b_j = sum_i w_ij x_i. No weight changes, nothing is
trained. In the float network inputs are codes / 256, so that the bias is 1/2 sum_i w_ij.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from accelsim.weights import save_weights

HERE = Path(__file__).parent
SOURCE = HERE.parent / "rsnn_phoneme"
OFFSET = 128
"""Half of the range of 8-bit codes: ``input_offset`` of the dense layer."""


def main() -> None:
    """Write the integers, the float network and the decoder."""
    integers = load_file(SOURCE / "weights.safetensors")
    integers["l0_in.bias"] = OFFSET * integers["l0.weight_in"].sum(axis=0, dtype=np.int32)
    save_weights(HERE / "weights.safetensors", integers)
    floats = load_file(SOURCE / "float.safetensors")
    floats["l0_in.bias"] = (OFFSET / 256 * floats["l0.weight_in"].sum(axis=0, dtype=np.float64)).astype(np.float32)
    save_weights(HERE / "float.safetensors", floats, {"inputs": "features / 256"})
    shutil.copyfile(SOURCE / "decoder.safetensors", HERE / "decoder.safetensors")


if __name__ == "__main__":
    main()
