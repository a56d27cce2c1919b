"""The front end: shapes, causality, level, and where its bits lie."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.data import LogMel, load, zero_bit_fraction
from accelsim.data.features import mel_filters


def speech() -> np.ndarray:
    return load("librivox_sample", "test")[1].audio


def test_one_code_per_band_and_ten_milliseconds():
    codes = LogMel().codes(np.zeros(16_000, np.float32))
    assert codes.shape == (98, 40)  # 1 + (16000 - 400) // 160
    assert codes.dtype == np.uint8


def test_audio_shorter_than_a_window_gives_no_frame():
    assert LogMel().codes(np.zeros(399, np.float32)).shape == (0, 40)


def test_codes_depend_on_the_past_alone():
    audio = speech()
    whole, half = LogMel().codes(audio), LogMel().codes(audio[: len(audio) // 2])
    assert np.array_equal(whole[: len(half)], half)


def test_louder_speech_ends_in_nearly_the_same_codes():
    # A gain adds a constant to every log energy; the running mean takes it out within its memory.
    audio = speech()
    quiet, loud = LogMel().codes(audio * 0.5).astype(int), LogMel().codes(audio).astype(int)
    assert abs(loud[-100:] - quiet[-100:]).mean() < 10


def test_codes_by_the_equation():
    # A stationary log energy equal to the initial mean stays there: the code is the offset.
    front_end = LogMel()
    energies = np.full((700, 40), front_end.initial_mean, np.float32)
    assert np.allclose(front_end.running_mean(energies), front_end.initial_mean, atol=1e-4)
    # After one frame at mean + 1 the mean has moved by 1 / (prior + 1).
    energies[0] += 1
    moved = front_end.running_mean(energies)[0] - front_end.initial_mean
    assert np.allclose(moved, 1 / (front_end.mean_prior + 1), atol=1e-4)


def test_filters_are_triangles_that_cover_the_band():
    filters = mel_filters(40, 512, 60.0, 7600.0)
    assert filters.shape == (257, 40)
    assert filters.min() == 0
    peaks = filters.argmax(axis=0)
    assert (np.diff(peaks) > 0).all()
    assert filters[: int(60 / 31.25)].sum() == 0


def test_share_of_zero_bits():
    assert zero_bit_fraction(np.array([0b1010_1010, 0xFF], np.uint8)) == pytest.approx(4 / 16)
    assert 0.4 < zero_bit_fraction(LogMel().codes(speech())) < 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": 0}, "'bands': must be from 1 to 1024, found 0"),
        ({"high_hz": 9000.0}, "'high_hz': must be from 0 to 8000, found 9000"),
        ({"low_hz": 7600.0}, "'low_hz': must be below 'high_hz', found 7600 and 7600"),
        ({"hop_s": 0.0}, "'hop_s': must be from 0.001 to 1, found 0"),
        ({"hop_s": 0.00001}, "'hop_s': must be from 0.001 to 1, found 1e-05"),
        ({"hop_s": 0.0101}, "'hop_s': must be a whole number of samples of 16000 Hz, found 0.0101 s"),
        ({"window_s": 0.02503}, "'window_s': must be a whole number of samples of 16000 Hz, found 0.02503 s"),
        ({"bands": 200}, "'bands': 10 of 200 filters lie between two bins of the spectrum"),
        ({"floor": 1e-300, "code_gain": 1e300}, "'floor': must be .*; 'code_gain': must be .*found 1e.300"),
        ({"mean_memory": 10}, "'mean_memory': must be at least 'mean_prior', found 10 and 50"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**change)


def test_stereo_is_refused():
    with pytest.raises(ValueError, match="one-dimensional"):
        LogMel().codes(np.zeros((100, 2), np.float32))
