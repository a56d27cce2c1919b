"""Spectra, mel spectrograms and cepstra: keys, edges, and codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from accelsim.data.mel import MelSpectrogram, Mfcc, Spectrum, mel_triangles, to_hz, to_mel
from accelsim.schema.workload import SpeechInputs


def inputs(**features):
    data = {"source": "speech", "dataset": "librivox_sample", "split": "test", "features": features}
    return TypeAdapter(SpeechInputs).validate_python(data)


@pytest.mark.parametrize(
    ("kind", "width", "keys"),
    [("spectrum", 257, {}), ("mel_spectrogram", 64, {"bands": 64}), ("mfcc", 10, {"coefficients": 10})],
)
def test_a_workload_asks_for_them_by_kind(kind, width, keys):
    found = inputs(kind=kind, **keys)
    assert found.width() == width and found.features.codes(np.zeros(1600, np.float32)).shape[1] == width


def test_a_tone_is_one_bin_and_its_height_is_by_hand():
    tone = np.cos(2 * np.pi * 1000 * np.arange(512) / 16_000)  # 32 periods in 512 samples: half its length
    found = Spectrum().values(tone)
    assert found.shape == (1, 257) and found[0, 32] == pytest.approx(256) and np.delete(found[0], 32).max() < 1e-9
    assert Spectrum(power=2, amplitude=0.5).values(tone)[0, 32] == pytest.approx(128**2)


def test_codes_are_rounded_and_stay_in_their_range():
    tone = np.cos(2 * np.pi * 1000 * np.arange(512) / 16_000)
    assert Spectrum(code_scale=2.0, code_offset=3.0).codes(tone)[0, [0, 32]].tolist() == [3, 131]
    assert Spectrum(code_scale=0.5).codes(tone)[0, 32] == 255 and Spectrum(code_offset=-9.0).codes(tone)[0, 0] == 0


def test_the_loudest_sample_is_one_with_peak_and_silence_stays_silent():
    tone = 0.01 * np.cos(2 * np.pi * 1000 * np.arange(512) / 16_000)
    assert Spectrum(peak=True).values(tone)[0, 32] == pytest.approx(256)
    assert not Spectrum(peak=True).values(np.zeros(512)).any()


@given(hz=st.floats(0, 8000), scale=st.sampled_from(["htk", "slaney"]))
def test_mels_and_back(hz, scale):
    assert to_hz(to_mel(hz, scale), scale) == pytest.approx(hz, abs=1e-6)


def test_slaney_scale_by_hand():
    assert to_mel([0, 500, 1000, 6400], "slaney") == pytest.approx([0, 7.5, 15, 42])


def test_triangles_add_to_one_between_their_centres():
    for triangles in ("hz", "mel"):
        filters = mel_triangles(10, 4096, 100.0, 7000.0, "htk", triangles, False)
        between = filters.sum(axis=1)[300:1000]
        assert between == pytest.approx(np.ones(700))


@pytest.mark.parametrize("frames", [0, 1, 5])
@pytest.mark.parametrize("front", [Spectrum(), MelSpectrogram(), Mfcc(), Mfcc(per_frame=True, pre_emphasis=0.97)])
def test_frames(front, frames):
    window, hop = round(front.window_s * 16_000), round(front.hop_s * 16_000)
    audio = np.random.default_rng(0).normal(0, 0.1, window + (frames - 1) * hop + (hop - 1))[
        : None if frames else window - 1
    ]
    assert front.codes(audio).shape == (frames, front.width)


@pytest.mark.parametrize(
    ("front", "keys", "message"),
    [
        (Spectrum, {"window_s": 0.00101}, "'window_s': must be a whole number of samples"),
        (Spectrum, {"fft_size": 256}, "'fft_size': must be from 512, the window, to 65536, found 256"),
        (Spectrum, {"center": True, "per_frame": True}, "leave out 'center'"),
        (MelSpectrogram, {"low_hz": 8000.0}, "'low_hz': must be below 'high_hz'"),
        (MelSpectrogram, {"top_db": 80.0}, "'top_db': must be above 0, and goes with 'logarithm: db'"),
        (Mfcc, {"coefficients": 41}, "'coefficients': must be from 1 to 40, found 41"),
        (Mfcc, {"logarithm": "none"}, "'logarithm': cepstra are made of logarithms"),
        (Mfcc, {"code_scale": 0.0}, "'code_scale': must be from"),
    ],
)
def test_wrong_settings_are_refused(front, keys, message):
    with pytest.raises(ValueError, match=message):
        front(**keys)
