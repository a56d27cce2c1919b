"""Mini LibriSpeech (OpenSLR 31): read speech, split by speaker."""

from __future__ import annotations

import os

from accelsim.data.dataset import DATASETS, DataSet, Download, Utterance, data_folder, missing
from accelsim.data.files import read_audio, read_lines, read_table
from accelsim.data.librivox import sample_folder
from accelsim.errors import InputError

DOWNLOAD = Download(
    url="https://www.openslr.org/resources/31/train-clean-5.tar.gz",
    checksum="sha256:47805806c8b15f7549f3c51bd6b7da72ec0128a34d32830c8014a88658c0292d",
    checksum_source="three public projects that pin it beside OpenSLR 31's md5, 5df7d4e78065366204ca6845bb08f490",
    licence="CC BY 4.0",
    layout="LibriSpeech/train-clean-5/<speaker>/<chapter>/*.flac (OpenSLR 31, train-clean-5)",
    marks=("librispeech_mini/manifest.tsv", "LibriSpeech/train-clean-5"),
)


def _read(split: str) -> list[Utterance]:
    folder, listed = data_folder(), sample_folder() / "mini_librispeech.tsv"
    rows = [row for row in read_table(listed, ("utt", "split", "phones")).values() if row["split"] == split]
    manifest, root = folder / "librispeech_mini" / "manifest.tsv", folder / "LibriSpeech" / "train-clean-5"
    if os.path.exists(manifest):
        texts = {row["utt"]: row["transcript"] for row in read_table(manifest, ("utt", "transcript")).values()}
        paths = {row["utt"]: manifest.parent / f"{row['utt']}.opus" for row in rows}
        lists = dict.fromkeys(paths, manifest)
    elif os.path.isdir(root):
        chapters = {row["utt"]: root.joinpath(*row["utt"].split("-")[:2]) for row in rows}
        paths = {name: chapter / f"{name}.flac" for name, chapter in chapters.items()}
        lists = {name: chapters[name] / f"{name.rpartition('-')[0]}.trans.txt" for name in paths}
        texts = {}
        for file in dict.fromkeys(lists.values()):
            texts |= {name: text for name, _, text in (line.partition(" ") for line in read_lines(file))}
    else:
        raise missing("mini_librispeech")
    silent = [name for name in paths if not texts.get(name, "").strip()]
    if silent:
        raise InputError.of(f"no transcript of {silent[0]}", file=lists[silent[0]], hint="fetch the data set again")
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


DATASETS.register("mini_librispeech", DataSet(("train", "dev", "test"), _read, DOWNLOAD, sample="librivox_sample"))
