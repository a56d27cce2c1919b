"""The log-mel front end against scipy's short-time Fourier transform and mel filters drawn another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from accelsim.data import load
from accelsim.data.features import LogMel


def mel(hertz: np.ndarray) -> np.ndarray:
    return 1127.010480 * np.log1p(np.asarray(hertz) / 700.0)


def log_energies(audio: np.ndarray, setting: LogMel) -> np.ndarray:
    """Return the log energies [frames, bands] from the equation: pre-emphasis, spectrogram, triangles, logarithm."""
    window, hop = round(16_000 * setting.window_s), round(16_000 * setting.hop_s)
    emphasised = signal.lfilter([1.0, -setting.pre_emphasis], [1.0], audio.astype(np.float64))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))
    size = 512 if window <= 512 else 1024
    frequencies, _, spectrum = signal.stft(
        emphasised, 16_000, hann, window, window - hop, size, boundary=None, padded=False, scaling="spectrum"
    )
    power = np.abs(spectrum * hann.sum()).T ** 2
    bounds = np.linspace(mel(setting.low_hz), mel(setting.high_hz), setting.bands + 2)
    corners = 700.0 * np.expm1(bounds / 1127.010480)
    triangles = np.stack(
        [np.interp(frequencies, corners[b : b + 3], [0.0, 1.0, 0.0]) for b in range(setting.bands)], axis=1
    )
    return np.log(power @ triangles + setting.floor)


def codes(energies: np.ndarray, setting: LogMel) -> np.ndarray:
    """Return the unrounded codes, the running mean followed frame by frame."""
    mean = np.full(energies.shape[1], setting.initial_mean)
    out = np.empty_like(energies)
    for t, energy in enumerate(energies, start=1):
        mean = mean + (energy - mean) / min(setting.mean_prior + t, setting.mean_memory)
        out[t - 1] = setting.code_gain * (energy - mean) + setting.code_offset
    return out


@pytest.mark.parametrize(
    "setting",
    [
        LogMel(),
        LogMel(bands=24, low_hz=100.0, high_hz=4000.0, window_s=0.032, hop_s=0.008, mean_prior=5, mean_memory=40),
    ],
    ids=["shipped", "other"],
)
def test_speech(setting):
    audio = load("librivox_sample", "test")[0].audio
    ours, theirs = setting.log_energies(audio), log_energies(audio, setting)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    wanted = np.clip(codes(theirs, setting), 0, 255)
    assert np.abs(setting.codes(audio) - wanted).max() < 0.5 + 0.05  # rounding, and float32


def test_a_tone_lands_in_the_band_that_holds_it():
    setting = LogMel()
    centres = 700.0 * np.expm1(np.linspace(mel(60.0), mel(7600.0), 42)[1:-1] / 1127.010480)
    for band in (5, 17, 33):
        tone = 0.5 * np.sin(2 * np.pi * centres[band] * np.arange(8000) / 16_000)
        assert (setting.log_energies(tone).argmax(axis=1) == band).all()
