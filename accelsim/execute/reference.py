"""The network in float, on the same inputs: what the quantised one is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.lif import lif_float
from accelsim.kernels.ssm import convolve
from accelsim.schema.ssm import PARTS, S4dOp
from accelsim.schema.workload import FEATURES, LifOp, LinearOp, WorkloadSpec
from accelsim.workload import Batch, Tensors, Workload


def float_outputs(workload: Workload, batch: Batch) -> Iterator[NDArray[np.float32]]:
    """Yield the outputs [frames, classes] of the float network, one utterance at a time to keep memory small.

    Features enter as x / 2^input_bits. The tensors of ``reference_weights`` carry ``LAYER.beta`` and
    ``LAYER.threshold`` beside the matrices.
    """
    spec, tensors = workload.spec, workload.reference
    if tensors is None:
        raise ValueError(f"workload '{spec.name}' has no reference weights")
    if spec.family() == "state_space":
        yield from _state_space(spec, tensors, batch)
        return
    first = spec.layers[0]
    if isinstance(first, LinearOp):
        yield from _linear(first, tensors, batch)
        return
    made: dict[str, NDArray[Any]] = {FEATURES: batch.features.astype(np.float32) / 2**spec.input_bits}
    for layer in spec.layers:
        if not isinstance(layer, LifOp):
            continue
        current = made[layer.input].astype(np.float32) @ tensors[str(layer.weights)].astype(np.float32)
        if layer.input == FEATURES:
            current = np.repeat(current[:, None], spec.time_steps, axis=1)
        made[layer.name] = lif_float(
            current,
            tensors[str(layer.recurrent_weights)].astype(np.float32),
            batch.starts,
            float(tensors[f"{layer.name}.beta"][0]),
            float(tensors[f"{layer.name}.threshold"][0]),
            layer.reset == "subtract",
            spec.membrane_carry,
        )
    readout = spec.layers[-1]
    weights = tensors[str(readout.weights)].astype(np.float32)
    for first, last in pairwise(batch.starts):
        yield made[readout.input][first:last].sum(axis=1, dtype=np.float32) @ weights


def _linear(layer: LinearOp, tensors: Tensors, batch: Batch) -> Iterator[NDArray[np.float32]]:
    """Yield y = (x - input_offset) W per utterance, with the inputs clamped as the integers are."""
    full_scale = 1 << (layer.input_bits - 1)
    weights = tensors[str(layer.weights)].astype(np.float32)
    for first, last in pairwise(batch.starts):
        centred = batch.features[first:last].astype(np.float32) * layer.input_scale - layer.input_offset
        yield np.clip(centred, -full_scale, full_scale - 1) @ weights


def _state_space(spec: WorkloadSpec, tensors: Tensors, batch: Batch) -> Iterator[NDArray[np.float32]]:
    """Yield the last layer per utterance: kernels by convolution, dense layers with their residuals, no rounding."""
    made: dict[str, NDArray[Any]] = {FEATURES: batch.features.astype(np.float64)}
    for layer in spec.layers:
        source = made[layer.input]
        if layer.input == FEATURES and isinstance(layer, S4dOp | LinearOp):
            source = (source - layer.input_offset) / spec.reference_unit
        if isinstance(layer, S4dOp):
            a, b, c = (tensors[f"{layer.weights}.{part}"] for part in PARTS)
            channels = np.broadcast_to(source, (len(source), layer.kernels))
            made[layer.name] = convolve(a, b, c, channels, batch.starts)
        elif isinstance(layer, LinearOp):
            used = np.maximum(source, 0) if layer.input_activation == "relu" else source
            product = used @ tensors[str(layer.weights)].astype(np.float64)
            made[layer.name] = product if layer.residual is None else made[layer.residual] + product
    for first, last in pairwise(batch.starts):
        yield made[spec.layers[-1].name][first:last]
