"""Chips and networks: those that ship, and those of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from numpy.typing import ArrayLike

from accelsim import library, weights
from accelsim.architecture import load_architecture
from accelsim.inputs import Batch, load_batch
from accelsim.schema import Overrides
from accelsim.workload import AnyWorkload, Given, load_workload, save_weights_of

__all__ = ["list_architectures", "list_workloads", "load_architecture", "load_inputs", "load_workload", "save_weights"]


def list_architectures() -> list[str]:
    """Return the names of the architectures that ship with accelsim and with installed plug-ins.

    >>> "rsnn28nm" in accelsim.list_architectures()
    True
    """
    return library.names("arch")


def list_workloads() -> list[str]:
    """Return the names of the workloads that ship with accelsim and with installed plug-ins.

    >>> "s4d_digits" in accelsim.list_workloads()
    True
    """
    return library.workload_names()


def load_inputs(
    workload: AnyWorkload, *, inputs: Given | None = None, overrides: Overrides | None = None
) -> Batch:  # fmt: skip
    """Return what a network hears, as it hears it: to train one on the very codes that the chip gets.

    ``workload``, ``inputs``: as for `run`; ``overrides``: dotted key -> value of the workload, without a prefix. Of
    what is returned ``features`` are the codes of all utterances end to end, [frames, width] unsigned or spikes
    [frames, steps, width]; ``starts`` cut them, [utterances + 1]; ``names``, ``references`` and ``spoken_by`` are those
    of each utterance. Raises InputError where the recordings cannot be read.

    >>> heard = accelsim.load_inputs("s4d_digits", overrides={"inputs.utterances": 2})
    >>> len(heard.names), heard.references[0], heard.features.shape == (heard.starts[-1], 1)
    (2, ('zero',), True)
    """
    return load_batch(load_workload(workload, overrides, inputs))


def save_weights(
    path: str | Path,
    tensors: Mapping[str, ArrayLike],
    metadata: Mapping[str, str] | None = None,
    *,
    workload: AnyWorkload | None = None,
    reference: bool = False,
) -> Path:
    """Write tensors into a safetensors file, whole or not at all, and return its path.

    ``tensors``: name -> array of whole numbers or floats, any shape and memory layout: ``array.T`` and ``array[::2]``
    are written as they read. (``safetensors.numpy.save_file`` writes the memory behind such a view, in its order: a
    tensor of the right shape with wrong values.) ``metadata``: texts for the file's head. What is written is read back
    and compared.

    ``workload``: the network that is to read the file; arrays are laid out in the types that its layers read, where
    these hold every value: int64 and whole float64 become int8. What does not fit is told with its layer, and nothing
    is written; an array whose transpose would fit is named, and not turned. ``reference``: they are those of the float
    network, ``reference_weights``.

    Raises InputError for names without a text, for anything but numbers, for NaN and infinity, for tensors that do not
    fit the workload, for a folder that cannot be written.

    >>> import tempfile
    >>> import numpy as np
    >>> folder = tempfile.TemporaryDirectory()
    >>> accelsim.save_weights(f"{folder.name}/weights.safetensors", {"fc.weight": np.eye(3, dtype=np.int8)}).name
    'weights.safetensors'
    """
    if workload is None:
        return weights.save_weights(path, tensors, metadata)
    return save_weights_of(workload, path, tensors, reference=reference, metadata=metadata)
