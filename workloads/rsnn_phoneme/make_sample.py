"""Make the sample that ships: LibriVox utterances as FLAC, with phones from CMUdict.

    python make_sample.py --source .../pocketsphinx/test/data/librivox --lexicon cmudict.txt

The source is the folder of Debian's package pocketsphinx-testdata (LibriVox, public domain).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile
from align import NAMES, pronounce, read_lexicon

HERE = Path(__file__).parent / "sample"
SPEAKER = "librivox-austen"


def main() -> None:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--lexicon", type=Path, required=True)
    arguments = parser.parse_args()
    lexicon = read_lexicon(arguments.lexicon)
    rows = ["utt\tspeaker\tphones\ttext"]
    names = (arguments.source / "fileids").read_text().split()
    texts = (arguments.source / "transcription").read_text().splitlines()
    for name, line in zip(names, texts, strict=True):
        words = line.split("<s>")[-1].split("</s>")[0].split("(")[0].lower().split()
        said = [pronounce(word, lexicon) for word in words]
        if not all(said):
            raise SystemExit(f"{name}: no pronunciation for {[w for w, s in zip(words, said, strict=True) if not s]}")
        audio, rate_hz = soundfile.read(arguments.source / f"{name}.wav", dtype="int16")
        soundfile.write(HERE / f"{name}.flac", audio, rate_hz, subtype="PCM_16")
        phones = " ".join(NAMES[phone] for ways in said for phone in ways[0])
        rows.append(f"{name}\t{SPEAKER}\t{phones}\t{' '.join(words)}")
    (HERE / "librivox.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
