"""The micro front end against TensorFlow Lite Micro's own, as the package pymicro-features has compiled it."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.data import load
from accelsim.data.micro import FEATURE_UNIT, Micro

pymicro_features = pytest.importorskip("pymicro_features", reason="pip install 'accelsim-speech[test-import]'")


def of_the_package(audio: np.ndarray) -> np.ndarray:
    """Return the package's features of 16-bit samples, fed in steps of 10 ms: the front end's whole numbers."""
    front_end, found = pymicro_features.MicroFrontend(), []
    for start in range(0, len(audio) - 159, 160):
        features = front_end.process_samples(audio[start : start + 160].tobytes()).features
        if features:
            found.append(features)
    return np.array(found).reshape(-1, 40) / FEATURE_UNIT


def samples(audio: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(audio.astype(np.float64) * 2**15), -(2**15), 2**15 - 1).astype(np.int16)


def test_every_bit_of_recorded_speech():
    for one in load("librivox_sample", "test"):
        found, expected = Micro().whole(one.audio), of_the_package(samples(one.audio))
        assert found.shape == expected.shape and np.array_equal(found, expected), one.name


def test_every_bit_of_noise_silence_clipping_and_single_pulses():
    draw = np.random.default_rng(0)
    loudness = np.repeat(10 ** draw.uniform(-1, 5, 300), 480)
    noise = np.clip(np.rint(draw.normal(0, loudness)), -(2**15), 2**15 - 1).astype(np.int16)
    square = np.where(np.arange(16_000) // 37 % 2, 2**15 - 1, -(2**15)).astype(np.int16)
    pulses = np.zeros(480 * 160, np.int16)
    pulses[np.arange(480) * 161 % len(pulses)] = draw.integers(-(2**15), 2**15, 480)
    tones = np.rint(8000 * np.sin(2 * np.pi * np.cumsum(np.linspace(50, 7900, 64_000)) / 16_000)).astype(np.int16)
    for audio in (noise, square, pulses, tones, np.zeros(1600, np.int16)):
        found, expected = Micro().whole(audio / 2**15), of_the_package(audio)
        assert found.shape == expected.shape and np.array_equal(found, expected)


def test_codes_are_those_that_the_wake_words_of_the_package_hear():
    """int8 = round(feature / scale + zero point), as MicroWakeWord of pymicro-wakeword makes them of the features."""
    scale = 0.10196078568696976
    for one in load("librivox_sample", "test"):
        heard = np.round(of_the_package(samples(one.audio)) * FEATURE_UNIT / scale + -128).astype(np.int8)
        assert np.array_equal(Micro().codes(one.audio), (heard.astype(int) + 128).astype(np.uint8))
