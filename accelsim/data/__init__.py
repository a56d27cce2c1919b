"""Speech data sets and the features computed from them."""

from accelsim.data.datasets import DOWNLOADS, Utterance, data_folder, get, load, sample_folder
from accelsim.data.featured import FEATURE_SETS, Featured, feature_set, load_features
from accelsim.data.features import LogMel, zero_bit_fraction
from accelsim.data.waveform import Waveform

__all__ = [
    "DOWNLOADS", "FEATURE_SETS", "Featured", "LogMel", "Utterance", "Waveform", "data_folder", "feature_set", "get",
    "load", "load_features", "sample_folder", "zero_bit_fraction",
]  # fmt: skip
