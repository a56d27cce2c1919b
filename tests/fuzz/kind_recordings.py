"""Folders of recordings: damaged audio and tables, and audio that claims what it is not."""

from __future__ import annotations

import io
import random
from functools import cache

import numpy as np
from binary import SIZES, damaged, network
from claims import flac, wav
from harness import Case

FORMATS = (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
           ("OGG", "OPUS"), ("AIFF", "PCM_16"), ("W64", "PCM_16"), ("CAF", "PCM_16"), ("AU", "PCM_16"),
           ("MP3", "MPEG_LAYER_III"))  # fmt: skip
TABLES = ("file\ttext\tspeaker\na\tyes\tme", "path\tstart\tend\tclass\tsplit\na\t0\t0.1\tyes\ttest")
CELLS = ("", "a", "0.2", "1e9", "-1", "nan", "path",
         "b", "../a", "/etc/passwd", "x" * 300, "a\0b", ".", "recordings.tsv", "a\x1b[31m", "yes\tno", '"',
         "\r", "\u2028", "\ufeff", "a" * 150_000)  # fmt: skip
FEATURES = ("bands: 6", "kind: waveform, rate_hz: 4000, samples: 40", "kind: micro, bands: 6",
            "kind: mfcc, bands: 8, coefficients: 6, hop_s: 0.01", "kind: mel_spectrogram, bands: 6, hop_s: 0.01",
            "kind: spectrum, window_s: 0.002, hop_s: 0.01")  # fmt: skip


@cache
def recordings() -> dict[tuple[str, str], bytes]:
    """Return the same noise in many formats, less those that this libsndfile does not write."""
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, 4800).clip(-0.9, 0.9)
    found = {}
    for form, subtype in FORMATS:
        if soundfile.check_format(form, subtype):
            buffer = io.BytesIO()
            soundfile.write(buffer, noise, 16_000, format=form, subtype=subtype)
            found[form, subtype] = buffer.getvalue()
    return found


def recording(rng: random.Random) -> bytes:
    """Return a recording with something wrong with it, or nothing."""
    import soundfile

    kind = rng.randrange(6)
    if kind == 0:
        rate = rng.choice((0, 1, 3999, 4000, 8000, 11_025, 16_000, 47_999, 383_999, 384_001, 2**31 - 1))
        return wav(rate, rng.choice((0, 1, 100, 3000)), rng.choice((None, *SIZES)), rng.choice((1, 1, 1, 0, 2, 65_535)))
    if kind == 1:
        return flac(rng.choice((1, 1000, 4800)), rng.choice((None, 0, 1, 5000, 10**7, 2**36 - 1)))
    if kind == 2:
        strange = rng.choice((np.nan, np.inf, 3e38, 1e9, 65_536.0, 1.0, 0.0))
        buffer = io.BytesIO()
        samples = np.full(rng.choice((0, 1, 160, 4000)), strange, np.float32)
        soundfile.write(buffer, samples, rng.choice((8000, 16_000, 44_100)), format="WAV", subtype="FLOAT")
        return buffer.getvalue()
    raw = rng.choice(list(recordings().values()))
    return raw if kind == 3 else damaged(rng, raw)


def table(rng: random.Random) -> bytes:
    table = rng.choice(TABLES)
    if rng.random() < 0.5:
        return table.encode()
    lines = table.split("\n")
    for _ in range(rng.choice((1, 2, 5))):
        cells = lines[at := rng.randrange(len(lines))].split("\t")
        cells[rng.randrange(len(cells))] = rng.choice(CELLS)
        lines[at] = "\t".join(cells)
    if rng.random() < 0.1:
        lines += [table.split("\n")[1]] * rng.choice((2, 200))
    raw = "\n".join(lines).encode()
    return damaged(rng, raw) if rng.random() < 0.2 else raw


class Recordings:
    name = "recordings"
    weight = 1.0
    warm = (["run", "rsnn28nm", "-w", "rsnn_paper_activity"],)

    def case(self, rng: random.Random) -> Case:
        more = rng.choice(("", "", "", ", trim_db: 30", ", length_s: 0.2", ", longest_s: 0.1", ", seconds: 0.05"))
        own = rng.choice(("source: folder, path: mine", "source: recordings, manifest: mine/recordings.tsv"))
        own += rng.choice(("", "", ", skip: bad", ", skip: [clipped, damaged]", ", channels: mix", ", split: test"))
        inputs = f"{{{own}, features: {{{rng.choice(FEATURES)}}}{more}}}"
        files = {"workload.yaml": network(inputs), "mine/recordings.tsv": table(rng), "mine/a": recording(rng)}
        if rng.random() < 0.1:
            return Case(files, ["data", "check", "mine", *rng.choice(([], ["-w", "workload.yaml"]))])
        return Case(files, ["run", "rsnn28nm", "-w", "workload.yaml", "--out", "out"])


KIND = Recordings()
