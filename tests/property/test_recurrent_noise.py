"""Read noise of recurrent layers on tiles: every step draws anew, and no utterance hears of those behind it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graphs import IDEAL, chip, frames, tile_keys
from recurrent import INTEGERS, network

from accelsim.devices import load_device
from accelsim.engines import crossbar_tiles
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.inputs import Batch
from accelsim.kernels.converters import AdcTransfer, DacTransfer
from accelsim.kernels.crossbar import program_tiles
from accelsim.kernels.product import multiply
from accelsim.ops.recurrent import steps
from accelsim.workload import Workload

UNITS, INPUTS = 12, 9
TWO_ROUNDS = INTEGERS[3]  # the reset gate stands before the second product with h


def keys(**changes: str) -> dict[str, str]:
    """Return cells of two levels whose noise is seen: short reads, and converters with steps that are finer."""
    return {
        **tile_keys(digital=[]), **IDEAL, "components.vector.number": "float32", "pacing.mode": "back_to_back",
        "placement": "{r: {engine: crossbar_tiles}, y: {engine: crossbar_tiles}}",
        "components.crossbar.noise": "physical", "components.crossbar.read_time": "50 ps", **changes,
    }  # fmt: skip


def run(found: Workload, batch: Batch, **changes: str) -> np.ndarray:
    outputs = execute(deploy(found, chip(keys(**changes))), batch, seed=3).outputs
    assert outputs is not None
    return outputs


def first_of(batch: Batch, utterances: int) -> Batch:
    """Return the first utterances of a batch alone."""
    last = int(batch.starts[utterances])
    return dataclasses.replace(
        batch, features=batch.features[:last], starts=batch.starts[: utterances + 1], names=batch.names[:utterances]
    )


@pytest.mark.parametrize("layer", [INTEGERS[0], TWO_ROUNDS, INTEGERS[4]])
def test_utterances_behind_change_nothing(tmp_path: Path, layer: str) -> None:
    found = network(tmp_path, layer, units=UNITS, inputs=INPUTS, seed=5)
    batch = frames(found, [5, 3, 8])
    whole = run(found, batch)
    for utterances in (1, 2):
        some = first_of(batch, utterances)
        assert np.array_equal(run(found, some), whole[: some.starts[-1]])
    silent = run(found, batch, **{"components.crossbar.noise": "none"})
    assert not np.array_equal(silent, whole)
    assert not np.array_equal(run(found, batch, **{"technology.temperature": "390 K"}), whole)
    hot = {"technology.temperature": "390 K", "components.crossbar.noise": "none"}
    assert np.array_equal(run(found, batch, **hot), silent)


@pytest.mark.parametrize("layer", [INTEGERS[0], TWO_ROUNDS])
def test_every_row_and_round_has_draws_of_its_own(tmp_path: Path, layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, list[np.ndarray]] = {}

    def watched(tiles, codes, **how):
        if "first_frame" in how:
            seen.setdefault(id(tiles), []).append(np.array(how["first_frame"]))
        return multiply(tiles, codes, **how)

    found = network(tmp_path, layer, units=UNITS, inputs=INPUTS, seed=5)
    batch = frames(found, [5, 3, 8])
    deployment = deploy(found, chip(keys()))
    monkeypatch.setattr(crossbar_tiles, "multiply", watched)
    execute(deployment, batch)
    rounds = 2 if layer == TWO_ROUNDS else 1
    inputs, states = seen.values()
    assert [numbers.tolist() for numbers in inputs] == [list(range(16))]
    assert sorted(np.concatenate(states).tolist()) == list(range(16 * rounds))
    wanted = [rows * rounds + number for _, rows in steps(batch.starts) for number in range(rounds)]
    assert [numbers.tolist() for numbers in states] == [rows.tolist() for rows in wanted]


def test_frames_may_have_numbers_of_their_own() -> None:
    device, generator = load_device("synaptogen"), np.random.default_rng(1)
    weights = generator.integers(-7, 8, (20, 9))
    codes = generator.integers(-128, 129, (30, 20)).astype(np.int16)
    tiles = program_tiles(weights, device.programmer(1), device.curves(0.6), weight_bits=4, tile_rows=32)
    how = {"dac": DacTransfer(8), "adc": AdcTransfer(6, 4), "noise": "legacy", "seed": 4}
    whole = multiply(tiles, codes, first_frame=7, **how).values
    order = generator.permutation(30)
    mixed = multiply(tiles, codes[order], first_frame=7 + order, **how).values
    assert np.array_equal(mixed, whole[order])
    with pytest.raises(ValueError, match=r"expected the numbers of 30 frames, found \(2,\)"):
        multiply(tiles, codes, first_frame=np.arange(2), **how)
