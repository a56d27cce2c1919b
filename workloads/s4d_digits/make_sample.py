"""Make the sample of zeros and ones that ships: recordings of AudioMNIST's test speakers as FLAC, at their own rate.

    python make_sample.py --source .../audiomnist_subset_8k_int16.npz

AudioMNIST (Becker and others, 2018) is under the MIT licence, which lies beside the recordings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile

from accelsim.data.digits import AUDIOMNIST_TEST_SPEAKERS
from accelsim.data.files import read_packed

HERE = Path(__file__).parent / "sample"
TAKES = 5
"""At most so many of each of the two words by each of the four speakers."""


def main() -> None:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    arguments = parser.parse_args()
    recordings, table = read_packed(arguments.source, "audio", "int16", (), ("digit", "speaker", "index"), ("rate",))
    columns = zip(table["speaker"], table["digit"], table["index"], recordings, strict=True)
    wanted = sorted(
        (one for one in columns if one[0] in AUDIOMNIST_TEST_SPEAKERS and one[1] < 2), key=lambda one: one[:3]
    )
    for speaker in AUDIOMNIST_TEST_SPEAKERS:
        for digit in (0, 1):
            of_both = [one for one in wanted if one[:2] == (speaker, digit)][:TAKES]
            for _, _, take, audio in of_both:
                path = HERE / f"{digit}_{speaker}_{take}.flac"
                soundfile.write(path, audio, int(table["rate"]), subtype="PCM_16")


if __name__ == "__main__":
    main()
