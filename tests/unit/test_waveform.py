"""Samples as codes: of one loudness, or as they are, one or several a frame."""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.data.waveform import Waveform


def test_samples_as_they_are():
    audio = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 0.004], np.float32)
    assert Waveform(rate_hz=16_000, scale=1 / 128).codes(audio)[:, 0].tolist() == [128, 192, 64, 255, 0, 129]
    assert np.array_equal(Waveform(rate_hz=16_000, scale=1 / 128).codes(audio / 2)[1:3, 0], [160, 96])


def test_several_samples_make_a_frame_and_the_rest_is_dropped():
    front = Waveform(rate_hz=16_000, scale=1 / 128, samples=512)
    audio = np.random.default_rng(0).uniform(-1, 1, 1600).astype(np.float32)
    assert front.width == 512 and front.hop_s == pytest.approx(0.032)
    codes = front.codes(audio)
    assert codes.shape == (3, 512)
    assert np.array_equal(codes.ravel(), Waveform(rate_hz=16_000, scale=1 / 128).codes(audio)[: 3 * 512, 0])


@pytest.mark.parametrize(("keys", "message"), [({"samples": 0}, "'samples'"), ({"scale": 0.0}, "'scale'")])
def test_wrong_settings_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        Waveform(**keys)
