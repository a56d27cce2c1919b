"""Chips and networks for the tests: the library's chip with some keys changed, networks written to a folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.architecture import Architecture, ArchitectureSpec, load_architecture
from accelsim.inputs import Batch
from accelsim.simulate import Clocking, Link


def text(value: Any) -> str:
    """Return a value as `--set KEY=VALUE` would have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


TILE_PARTS = ("tile_inputs", "dac", "crossbar", "sample_hold", "adc", "shift_add", "tile_outputs")
"""Components of `memristor_tile` that stand in every tile."""


def tiles(number: int) -> dict[str, str]:
    """Return the keys that give `memristor_tile` so many tiles."""
    return {f"components.{part}.tiles": str(number) for part in TILE_PARTS}


def rsnn28nm(overrides: Mapping[str, Any] | None = None) -> Architecture:
    """Return the library's chip with some keys changed, as `load_architecture` does but without reading it again.

    test_rsnn_cycles checks that it is the same.
    """
    chip = _as_it_is()
    data = chip.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for path, value in (overrides or {}).items():
        *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
        functools.reduce(lambda part, key: part[key], parents, data)[last] = value
    return dataclasses.replace(chip, spec=ArchitectureSpec.model_validate(data))


@functools.cache
def _as_it_is() -> Architecture:
    return load_architecture("rsnn28nm")


def links(chip: Architecture) -> list[Link]:
    """Return the bounded channels of a chip (the same as pipeline.links, which needs every room of the house)."""
    return [Link(c.from_, c.to, c.capacity, c.latency) for c in chip.spec.channels if not c.lockstep]


def clocking(chip: Architecture) -> Clocking:
    """Return clock periods and frame period of a chip (the same as pipeline.clocking)."""
    pacing = chip.spec.pacing
    period = round(pacing.frame_period * 1e12) if pacing.mode == "real_time" else 0
    return Clocking({name: chip.period_ps(name) for name in chip.components()}, period)


def write_random_network(
    folder: Path,
    *,
    features: int,
    hidden: Sequence[int],
    classes: int,
    steps: int,
    frames: int,
    ones: float = 0.5,
    spikes: float = 0.4,
    readout: float = 0.5,
) -> Path:
    """Write a workload of random activity and return its path."""
    layers, before = [], "features"
    for index, neurons in enumerate(hidden):
        layers.append(
            f"  - {{name: l{index}, op: lif, input: {before}, neurons: {neurons}, weight_bits: 4, beta: 0.5, "
            "threshold: 8, reset: zero}"
        )
        before = f"l{index}"
    layers.append(f"  - {{name: out, op: spike_sum, input: {before}, neurons: {classes}, weight_bits: 4}}")
    path = folder / "workload.yaml"
    path.write_text(
        f"""schema: accelsim/workload@1
name: random_network
time_steps: {steps}
inputs: {{source: random, frames: {frames}, frame_period: 10 ms, features: {features}, input_ones: {ones},
         spikes: {spikes}, readout: {readout}}}
graph:
"""
        + "\n".join(layers)
        + "\n"
    )
    return path


def write_speech_network(
    folder: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    features: int,
    hidden: Sequence[int],
    classes: int,
    steps: int,
    threshold: int = 40,
    reset: str = "subtract",
    carry: bool = True,
) -> Path:
    """Write a network with integer weights over features of speech and return the path of its workload.yaml.

    tensors: l0.w, l0.r, l1.w, .. and out.w.
    """
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "weights.safetensors")
    layers, before = [], "features"
    for index, neurons in enumerate(hidden):
        layers.append(
            f"  - {{name: l{index}, op: lif, input: {before}, neurons: {neurons}, weight_bits: 4, weights: l{index}.w, "
            f"recurrent_weights: l{index}.r, input_shift: {-3 if index == 0 else 2}, recurrent_shift: 1, "
            f"membrane_carry: {text(carry)}, beta: 0.75, threshold: {threshold}, reset: {reset}}}"
        )
        before = f"l{index}"
    layers.append(
        f"  - {{name: out, op: spike_sum, input: {before}, neurons: {classes}, weight_bits: 4, weights: out.w}}"
    )
    path = folder / "workload.yaml"
    path.write_text(
        f"""schema: accelsim/workload@1
name: speech_network
weights: weights.safetensors
time_steps: {steps}
inputs: {{source: speech, dataset: timit_sample, split: test, features: {{bands: {features}}}}}
graph:
"""
        + "\n".join(layers)
        + "\n"
    )
    return path


def random_weights(
    generator: np.random.Generator, features: int, hidden: Sequence[int], classes: int
) -> dict[str, np.ndarray]:
    """Return 4-bit weights of the full range -8 .. 7 for every matrix of a network."""
    tensors, width = {}, features
    for index, neurons in enumerate(hidden):
        tensors[f"l{index}.w"] = generator.integers(-8, 8, (width, neurons), np.int8)
        tensors[f"l{index}.r"] = generator.integers(-8, 8, (neurons, neurons), np.int8)
        width = neurons
    tensors["out.w"] = generator.integers(-8, 8, (width, classes), np.int8)
    return tensors


def write_timit(folder: Path, seconds: Sequence[float] = (0.3, 0.2, 0.4)) -> None:
    """Write a data folder in TIMIT's layout: noise that comes and goes, for both test speakers."""
    import soundfile

    generator = np.random.default_rng(7)
    for speaker in ("dr2-faem0", "dr8-mbcg0"):
        home = folder / "timit" / speaker
        home.mkdir(parents=True)
        for index, duration in enumerate(seconds):
            samples = round(duration * 16_000)
            loudness = 0.02 + 0.2 * np.sin(np.arange(samples) / 900.0) ** 2
            soundfile.write(home / f"sx{index}.wav", loudness * generator.standard_normal(samples), 16_000)
            (home / f"sx{index}.phn").write_text(f"0 {samples} aa\n")
            (home / f"sx{index}.txt").write_text(f"0 {samples} ah\n")


def write_an4(folder: Path, frames: Sequence[int], speakers: Sequence[str], texts: Sequence[str]) -> None:
    """Write a data folder in AN4's layout: noise as MFCC, all of the test split, and a dictionary of two words."""
    mfcc = np.random.default_rng(7).normal(0, 3, (sum(frames), 13)).astype(np.float16)
    np.savez(
        folder / "an4_mfcc13.npz",
        mfcc=mfcc,
        offsets=np.cumsum([0, *frames]),
        utt=np.array([f"u{i}" for i in range(len(frames))]),
        speaker=np.array(speakers),
        split=np.array(["test"] * len(frames)),
        text=np.array(texts),
    )
    (folder / "an4.dic").write_text("A        AH\nA(2)     EY\nYES      Y EH S\n")


def batch_of(features: np.ndarray, starts: Sequence[int]) -> Batch:
    """Return a batch of given features [frames, width] without any data set behind it."""
    utterances = len(starts) - 1
    names = tuple(f"u{i}" for i in range(utterances))
    return Batch(features, np.asarray(starts, np.int64), names, "test", None, len(features) * 0.01, 0.01)
