"""What executors of graphs share: the values of the features, and how a chip's vector unit computes."""

from __future__ import annotations

import numpy as np

from accelsim.components.vector_unit import VectorUnit
from accelsim.kernels.activation import LARGEST_CODE, dequantise
from accelsim.kernels.number import Arithmetic, Number, Values
from accelsim.workload import Batch, Workload


def feature_values(workload: Workload, batch: Batch, number: Number) -> Values:
    """Return what features are worth, (code - feature_offset) * feature_scale, in a format: [frames, width]."""
    spec = workload.spec
    centred = batch.features.astype(np.int16) - spec.feature_offset
    codes = np.clip(centred, -LARGEST_CODE, LARGEST_CODE).astype(np.int8)
    return dequantise(codes, spec.feature_scale, number)


def vector_arithmetic(unit: VectorUnit) -> Arithmetic:
    """Return how a vector unit computes."""
    return Arithmetic(unit.number, unit.accumulator, unit.norm, unit.softmax)
