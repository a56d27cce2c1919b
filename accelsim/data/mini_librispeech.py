"""Mini LibriSpeech (OpenSLR 31): read speech, split by speaker."""

from __future__ import annotations

from accelsim.data.dataset import DATASETS, DataSet, Download, Utterance, data_folder, missing
from accelsim.data.files import read_audio, read_table
from accelsim.data.librivox import sample_folder

DOWNLOAD = Download(
    url="https://www.openslr.org/resources/31/train-clean-5.tar.gz",
    checksum="sha256:47805806c8b15f7549f3c51bd6b7da72ec0128a34d32830c8014a88658c0292d",
    checksum_source="three public projects that pin it beside OpenSLR 31's md5, 5df7d4e78065366204ca6845bb08f490",
    licence="CC BY 4.0",
    layout="LibriSpeech/train-clean-5/<speaker>/<chapter>/*.flac (OpenSLR 31, train-clean-5)",
    marks=("librispeech_mini/manifest.tsv", "LibriSpeech/train-clean-5"),
)


def _read(split: str) -> list[Utterance]:
    folder = data_folder()
    rows = [row for row in read_table(sample_folder() / "mini_librispeech.tsv") if row["split"] == split]
    if (folder / "librispeech_mini" / "manifest.tsv").exists():
        texts = {r["utt"]: r["transcript"] for r in read_table(folder / "librispeech_mini" / "manifest.tsv")}
        paths = {row["utt"]: folder / "librispeech_mini" / f"{row['utt']}.opus" for row in rows}
    elif (folder / "LibriSpeech" / "train-clean-5").is_dir():
        root = folder / "LibriSpeech" / "train-clean-5"
        lines = [line for file in sorted(root.rglob("*.trans.txt")) for line in file.read_text().splitlines()]
        texts = dict(line.split(" ", 1) for line in lines)
        paths = {row["utt"]: root.joinpath(*row["utt"].split("-")[:2], f"{row['utt']}.flac") for row in rows}
    else:
        raise missing("mini_librispeech")
    return [
        Utterance(
            name=row["utt"],
            speaker=row["utt"].split("-")[0],
            audio=read_audio(paths[row["utt"]]),
            phones=tuple(row["phones"].split()) or None,
            text=texts[row["utt"]].lower(),
        )
        for row in rows
    ]


DATASETS.register("mini_librispeech", DataSet(("train", "dev", "test"), _read, DOWNLOAD))
