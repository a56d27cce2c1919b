"""Data sets below ACCELSIM_DATA: damaged packed files, and trees of recordings with their lists."""

from __future__ import annotations

import io
import random
from functools import cache

import numpy as np
from binary import damaged, damaged_npz, network
from claims import npz, wav
from harness import Case, Outcome
from kind_recordings import recording

SAMPLES = (np.random.default_rng(0).normal(0, 3000, 4000)).astype(np.int16)
DIGITS = {"audio": SAMPLES, "offsets": np.array([0, 2000, 4000]), "digit": np.array([1, 2]),
          "speaker": np.array(["george", "36"]), "index": np.array([0, 1]), "rate": np.array(8000)}  # fmt: skip
TIMIT = {"audio": SAMPLES, "offsets": np.array([0, 2000, 4000]), "speaker": np.array(["dr2-faem0"] * 2),
         "utt": np.array(["sx1", "sx2"]), "text": np.array(["ah", "oh"]), "seg_utt": np.array([0, 1]),
         "seg_phone": np.array(["aa", "ow"])}  # fmt: skip
AN4 = {"mfcc": np.random.default_rng(0).normal(0, 9, (50, 13)).astype(np.float16), "offsets": np.array([0, 20, 50]),
       "utt": np.array(["a", "b"]), "speaker": np.array(["m", "f"]), "split": np.array(["test", "test"]),
       "text": np.array(["YES", "NO"])}  # fmt: skip
PACKED = (
    ("fsdd", "fsdd_8k_int16.npz", DIGITS), ("audiomnist", "audiomnist_subset_8k_int16.npz", DIGITS),
    ("timit_sample", "timit_sample_16k_int16.npz", TIMIT), ("an4", "an4_mfcc13.npz", AN4),
)  # fmt: skip
DIC = b"YES      Y EH S\nNO       N OW\nNO(2)    N\nA        AH\n"
LISTS = (b"", b"\xff\xfe", b"0 1600 h#\n1600 3200\n", b"a b c\n", b"0 99999999999999999999999 aa\n", b"0 \xc2\xb2 aa\n",
         b"\0" * 99, b"\xe2\x80\xa8", b"x" * 100_000)  # fmt: skip


@cache
def plain() -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, SAMPLES, 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def tree(rng: random.Random) -> tuple[str, dict[str, bytes]]:
    """Return a data set of single recordings, one of which has something wrong with it."""
    audio = recording(rng) if rng.random() < 0.7 else plain()
    kind = rng.randrange(3)
    if kind == 0:
        stem = rng.choice(("1_george_0", "1_george_0", "9_george_99999999999999999999", "\u0663_george_0", "x_y_z"))
        folder = "free-spoken-digit-dataset/recordings"
        return "fsdd", {f"{folder}/{stem}.wav": audio, f"{folder}/0_george_1.wav": wav(8000, 3000)}
    if kind == 1:
        return "audiomnist", {"AudioMNIST/data/36/1_36_0.wav": audio}
    files = {"sx42.wav": audio, "sx42.phn": b"0 1600 h#\n1600 3200 aa\n", "sx42.txt": b"0 3200 Ah.\n"}
    name = rng.choice(("sx42.phn", "sx42.txt"))
    if rng.random() < 0.5:
        files[name] = rng.choice(LISTS) if rng.random() < 0.5 else damaged(rng, files[name])
    return "timit_sample", {f"timit/dr2-faem0/{end}": raw for end, raw in files.items()}


class DataSets:
    name = "datasets"
    weight = 1.0
    warm = (["run", "rsnn28nm", "-w", "rsnn_paper_activity"],)

    def case(self, rng: random.Random) -> Case:
        if rng.random() < 0.6:
            name, file, arrays = rng.choice(PACKED)
            files = {file: damaged_npz(rng, arrays) if rng.random() < 0.95 else npz(arrays)}
            if name == "an4":
                files["an4.dic"] = damaged(rng, DIC) if rng.random() < 0.4 else DIC
        else:
            name, files = tree(rng)
        inputs = f"{{source: speech, dataset: {name}, split: test, features: {{bands: 6}}}}"
        if name == "an4":
            inputs = "{source: features, dataset: an4, split: test}"
        laid = {"workload.yaml": network(inputs), **{f"data/{path}": raw for path, raw in files.items()}}
        argv = ["run", "rsnn28nm", "-w", "workload.yaml", "--out", "out"]
        return Case(laid, argv, env={"ACCELSIM_DATA": "data"})

    @staticmethod
    def check(folder: object, outcome: Outcome) -> None:
        """The readers check by themselves: what catches the mistakes of a plug-in's reader has nothing to do."""
        assert "cannot read data set" not in outcome.err


KIND = DataSets()
