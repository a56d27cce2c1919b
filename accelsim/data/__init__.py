"""Speech data sets and the features computed from them."""

from accelsim.data.datasets import DOWNLOADS, Utterance, data_folder, get, load, sample_folder
from accelsim.data.features import LogMel, zero_bit_fraction
from accelsim.data.waveform import Waveform

__all__ = [
    "DOWNLOADS", "LogMel", "Utterance", "Waveform", "data_folder", "get", "load", "sample_folder", "zero_bit_fraction",
]  # fmt: skip
