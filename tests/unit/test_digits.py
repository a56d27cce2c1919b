"""Spoken digits and down-sampled waveforms."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile

from accelsim.data import Waveform, get, load
from accelsim.data.digits import LOUDNESS
from accelsim.errors import InputError

HAS_DATA = "ACCELSIM_DATA" in os.environ


def tone(hertz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Both sets as clones of their repositories: 8 kHz and 48 kHz files, one test speaker in each."""
    monkeypatch.setenv("ACCELSIM_DATA", str(tmp_path))
    small, large = tmp_path / "free-spoken-digit-dataset/recordings", tmp_path / "AudioMNIST/data"
    small.mkdir(parents=True)
    for name in ("1_theo_0", "0_theo_10", "0_theo_2", "7_theo_0", "1_george_0"):
        soundfile.write(small / f"{name}.wav", tone(300, 8000), 8000, subtype="PCM_16")
    for name in ("0_01_0", "2_01_0", "1_43_5"):
        speaker = large / name.split("_")[1]
        speaker.mkdir(parents=True, exist_ok=True)
        soundfile.write(speaker / f"{name}.wav", tone(300, 48_000), 48_000, subtype="PCM_16")
    return tmp_path


def test_digits_are_split_by_speaker_and_in_a_fixed_order(recordings):
    names = [u.name for u in load("fsdd", "train")]
    assert names == ["fsdd/0_theo_2", "fsdd/0_theo_10", "fsdd/1_theo_0", "fsdd/7_theo_0"]
    assert [(u.speaker, u.text) for u in load("fsdd", "test")] == [("george", "one")]
    both = load("zero_one", "train") + load("zero_one", "test")
    assert [u.name for u in both] == [
        "fsdd/0_theo_2", "fsdd/0_theo_10", "fsdd/1_theo_0", "audiomnist/0_01_0", "fsdd/1_george_0", "audiomnist/1_43_5",
    ]  # fmt: skip
    for utterance in both:
        assert utterance.audio.dtype == np.float32 and len(utterance.audio) == 8000  # 0.5 s at 16 kHz
        middle = slice(1000, 7000)
        expected = tone(300, 16_000) * LOUDNESS / np.sqrt(0.5 * 0.3**2)
        assert np.abs(utterance.audio - expected)[middle].max() < 1e-3


def test_one_set_of_two_is_not_enough(recordings):
    for file in (recordings / "AudioMNIST/data").rglob("*.wav"):
        file.unlink()
    (recordings / "AudioMNIST/data").rename(recordings / "elsewhere")
    with pytest.raises(InputError, match="data set 'audiomnist' is not in"):
        load("zero_one", "test")


def test_a_set_that_is_made_of_others_gets_those(recordings):
    said: list[str] = []
    assert get("zero_one", said.append) == recordings
    assert [line.partition(" ")[0] for line in said] == ["fsdd", "audiomnist"]
    assert all("is already in" in line for line in said)


@pytest.mark.skipif(not HAS_DATA, reason="ACCELSIM_DATA is not set")
def test_real_digits_load():
    train, test = load("zero_one", "train"), load("zero_one", "test")
    assert {u.speaker for u in train}.isdisjoint({u.speaker for u in test})
    assert {u.text for u in train} == {u.text for u in test} == {"zero", "one"}
    assert {u.speaker for u in test} == {"george", "36", "43", "56", "60"}


def test_a_waveform_is_the_samples_at_one_loudness():
    codes = [Waveform(rate_hz=2000, level=16.0).codes(loud * tone(200, 16_000)) for loud in (1.0, 0.01)]
    assert codes[0].shape == (1000, 1) and codes[0].dtype == np.uint8
    assert np.array_equal(*codes)
    centred = codes[0].astype(float)[:, 0] - 128
    assert np.sqrt((centred**2).mean()) == pytest.approx(16, rel=0.02)
    expected = 16 * np.sqrt(2) * np.sin(2 * np.pi * 200 * np.arange(1000) / 2000)
    assert np.abs(centred - expected)[50:-50].max() < 1.0


def test_silence_clipping_and_wrong_settings():
    assert (Waveform().codes(np.zeros(800, np.float32)) == 128).all()
    assert Waveform().codes(np.zeros(0, np.float32)).shape == (0, 1)
    loud = Waveform(level=1000.0).codes(tone(200, 16_000))
    assert loud.min() == 0 and loud.max() == 255
    with pytest.raises(ValueError, match="one-dimensional"):
        Waveform().codes(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"'rate_hz': must be from 10 to 16000, found 32000"):
        Waveform(rate_hz=32_000)
    with pytest.raises(ValueError, match=r"'level': must be from 0.5 to 1000, found 0"):
        Waveform(level=0.0)
