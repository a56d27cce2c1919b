"""Speech data sets and the features computed from them; a data set is one file that registers in `DATASETS`."""

from accelsim.data.dataset import (
    DATASETS,
    DataSet,
    Download,
    Featured,
    FeatureSet,
    Utterance,
    data_folder,
    missing,
)
from accelsim.data.datasets import get, load
from accelsim.data.featured import feature_set, load_features
from accelsim.data.features import LogMel, zero_bit_fraction
from accelsim.data.waveform import Waveform

__all__ = [
    "DATASETS", "DataSet", "Download", "FeatureSet", "Featured", "LogMel", "Utterance", "Waveform", "data_folder",
    "feature_set", "get", "load", "load_features", "missing", "zero_bit_fraction",
]  # fmt: skip
