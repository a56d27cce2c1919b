"""Make the sample of AN4 that ships: short utterances of each of the seven men who test, as features.

    python make_sample.py --source FOLDER       with an4_mfcc13.npz or CMU's folder an4, see `accelsim data get an4`

Short ones, so that simulated tiles recognise all of them within a minute: of each speaker the two shortest of the first
six. Their error rate is that of short utterances.

AN4 (Carnegie Mellon University) may be redistributed with its licence, which lies beside the features.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from accelsim.data.an4 import Spoken, load_an4

HERE = Path(__file__).parent / "sample"
FIRST, SHORTEST = 6, 2
"""Of each of the seven speakers: the shortest of the first ones."""


def main() -> None:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    arguments = parser.parse_args()
    spoken = load_an4("test", arguments.source)
    chosen: list[Spoken] = []
    for speaker in dict.fromkeys(one.speaker for one in spoken):
        first = [one for one in spoken if one.speaker == speaker][:FIRST]
        kept = sorted(first, key=lambda one: len(one.mfcc))[:SHORTEST]
        chosen += [one for one in first if any(one is other for other in kept)]
    mfcc = np.concatenate([one.mfcc for one in chosen]).astype(np.float16)
    ends = np.cumsum([0, *(len(one.mfcc) for one in chosen)])
    save_file({"mfcc": mfcc, "offsets": ends.astype(np.int64)}, HERE / "an4_mfcc13.safetensors")
    rows = ["utt\tspeaker\ttext", *(f"{one.name}\t{one.speaker}\t{' '.join(one.words)}" for one in chosen)]
    (HERE / "an4.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
