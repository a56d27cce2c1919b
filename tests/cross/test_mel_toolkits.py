"""Mel spectrograms and cepstra by parameters against the toolkits whose forms they have."""

from __future__ import annotations

import sys
from unittest.mock import MagicMock

import numpy as np
import pytest

from accelsim.data import load
from accelsim.data.mel import MelSpectrogram, Mfcc, Spectrum

torch = pytest.importorskip("torch")


def speech(seconds: float = 1.5) -> np.ndarray:
    return load("librivox_sample", "test")[0].audio[: round(16_000 * seconds)]


def close(found: np.ndarray, expected: np.ndarray, within: float) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= within * expected.std()


@pytest.fixture
def torchaudio(monkeypatch):
    """Return torchaudio without its extension in C++, which fits one version of torch alone and is not needed here."""
    monkeypatch.setitem(sys.modules, "torchaudio._extension", MagicMock(_IS_TORCHAUDIO_EXT_AVAILABLE=False))
    return pytest.importorskip("torchaudio")


KEYS = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40, "f_min": 20.0, "f_max": 8000.0}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_spectrogram_of_torchaudio(scale, torchaudio):
    theirs = torchaudio.transforms.MelSpectrogram(
        16_000, **KEYS, mel_scale=scale, norm="slaney" if scale == "slaney" else None
    )(torch.from_numpy(speech()))
    ours = MelSpectrogram(center=True, logarithm="none", mel_scale=scale, equal_area=scale == "slaney")
    close(ours.values(speech()), theirs.numpy().T, 1e-4)  # they add up in float32


@pytest.mark.filterwarnings("ignore")
def test_mfcc_of_torchaudio(torchaudio):
    theirs = torchaudio.transforms.MFCC(16_000, 13, melkwargs=KEYS)(torch.from_numpy(speech()))
    ours = Mfcc(center=True, logarithm="db", floor=1e-10, floor_by="max", top_db=80.0)
    close(ours.values(speech()), theirs.numpy().T, 1e-4)


@pytest.mark.parametrize("kind", ["fbank", "mfcc"])
def test_fbank_and_mfcc_of_kaldi(kind, torchaudio):
    from torchaudio.compliance import kaldi

    audio = torch.from_numpy(speech() * 32768)[None]
    keys = {"window": "povey", "per_frame": True, "pre_emphasis": 0.97, "amplitude": 32768.0, "triangles": "mel"}
    keys |= {"floor": float(np.finfo(np.float32).eps), "floor_by": "max", "bands": 23}
    if kind == "fbank":
        theirs = kaldi.fbank(audio, dither=0.0, num_mel_bins=23)
        close(MelSpectrogram(**keys).values(speech()), theirs.numpy(), 1e-4)
    else:
        theirs = kaldi.mfcc(audio, dither=0.0, num_ceps=13)
        close(Mfcc(**keys, lifter=22.0).values(speech()), theirs.numpy(), 1e-4)


@pytest.mark.parametrize("center", [True, False])
def test_spectrum_of_torch(center):
    ours = Spectrum(window="hann", window_s=0.032, center=center)
    theirs = torch.stft(
        torch.from_numpy(speech()), 512, 128, window=torch.hann_window(512), center=center, return_complex=True
    )
    close(ours.values(speech()), theirs.abs().numpy().T, 1e-5)


def mlperf_tiny(audio: np.ndarray) -> np.ndarray:
    """tf.signal's steps as its documentation states them, in loops: stft, linear_to_mel_weight_matrix, log, DCT-II."""
    audio = audio.astype(np.float64)
    audio = np.concatenate([audio / audio.max(), np.zeros(16_000)])[:16_000]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    mel = lambda hz: 1127.0 * np.log1p(hz / 700.0)  # noqa: E731
    edges = np.linspace(mel(20.0), mel(4000.0), 42)
    rows = []
    for start in range(0, 16_000 - 479, 320):
        spectrum = np.abs(np.fft.rfft(audio[start : start + 480] * hann, 512))
        logs = []
        for lower, centre, upper in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k in range(1, 257):  # without the constant, as linear_to_mel_weight_matrix has it
                at = mel(k * 31.25)
                total += max(0.0, min((at - lower) / (centre - lower), (upper - at) / (upper - centre))) * spectrum[k]
            logs.append(np.log(total + 1e-6))
        dct = [2 * sum(e * np.cos(np.pi * k * (2 * b + 1) / 80) for b, e in enumerate(logs)) for k in range(10)]
        rows.append(np.array(dct) / np.sqrt(80))
    return np.array(rows)


MLPERF_TINY = {
    "window_s": 0.03, "hop_s": 0.02, "power": 1, "peak": True, "bands": 40, "low_hz": 20.0, "high_hz": 4000.0,
    "triangles": "mel", "dct": "tensorflow", "coefficients": 10,
}  # fmt: skip


def test_mfcc_of_mlperf_tiny_are_49_times_10():
    audio = speech(0.8)
    padded = np.concatenate([audio, np.zeros(16_000 - len(audio), np.float32)])
    found = Mfcc(**MLPERF_TINY).values(padded)
    assert found.shape == (49, 10)
    close(found, mlperf_tiny(audio), 1e-9)
