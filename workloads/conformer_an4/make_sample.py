"""Make the sample of AN4 that ships: the first utterances of each test speaker, as features.

    python make_sample.py --source .../an4_mfcc13.npz

AN4 (Carnegie Mellon University) may be redistributed with its licence, which lies beside the features.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from accelsim.data.an4 import load_an4

HERE = Path(__file__).parent / "sample"
UTTERANCES = 6
"""Of each of the seven test speakers."""


def main() -> None:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    arguments = parser.parse_args()
    spoken = load_an4("test", arguments.source.parent)
    speakers = dict.fromkeys(one.speaker for one in spoken)
    chosen = [one for speaker in speakers for one in [s for s in spoken if s.speaker == speaker][:UTTERANCES]]
    mfcc = np.concatenate([one.mfcc for one in chosen]).astype(np.float16)
    ends = np.cumsum([0, *(len(one.mfcc) for one in chosen)])
    save_file({"mfcc": mfcc, "offsets": ends.astype(np.int64)}, HERE / "an4_mfcc13.safetensors")
    rows = ["utt\tspeaker\ttext", *(f"{one.name}\t{one.speaker}\t{' '.join(one.words)}" for one in chosen)]
    (HERE / "an4.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
