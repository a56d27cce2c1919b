"""Make the sample of ten digits that ships: recordings of FSDD's speaker george, as FLAC.

    python make_sample.py --source .../free-spoken-digit-dataset/recordings

FSDD (Zohar Jackson and contributors) is under CC BY-SA 4.0: the notice lies beside the recordings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile

from accelsim.data.digits import FSDD_TEST_SPEAKERS

HERE = Path(__file__).parent / "sample"
TAKES = 4
"""Of each of the ten words."""


def main() -> None:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    arguments = parser.parse_args()
    for speaker in FSDD_TEST_SPEAKERS:
        for name in [f"{digit}_{speaker}_{take}" for digit in range(10) for take in range(TAKES)]:
            samples, rate_hz = soundfile.read(arguments.source / f"{name}.wav", dtype="int16")
            soundfile.write(HERE / f"{name}.flac", samples, rate_hz, subtype="PCM_16")


if __name__ == "__main__":
    main()
