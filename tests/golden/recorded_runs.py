"""Runs whose whole record is kept in ``recorded/``: every shipped chip, every family, in many settings.

A record is the run's result without what may differ between two runs of the same thing (versions, command, hashes of
the files), a hash of the values of its last layer, and the table of its schedule. ``record_runs.py`` makes the records
anew.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.pipeline import run_in_full
from accelsim.record import record

FOLDER = Path(__file__).parent / "recorded"
TOLERANCE = 1e-12
"""Relative; for the intervals of prices alone, which are made of logarithms that differ between processors."""


@dataclass(frozen=True)
class Case:
    """One run; ``needs_data``: of speech that does not ship, so that ACCELSIM_DATA has to be set."""

    architecture: str
    workload: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    needs_data: bool = False


def _utterances(count: int, **more: str) -> dict[str, str]:
    return {"workload.inputs.utterances": str(count)} | _dotted(more)


def _dotted(overrides: Mapping[str, str]) -> dict[str, str]:
    """Return overrides with ``__`` for the dots of their keys."""
    return {key.replace("__", "."): value for key, value in overrides.items()}


def _components(component_names: str, key: str, value: str) -> dict[str, str]:
    """Return overrides that set one key of several components, named with spaces between."""
    return {f"components.{name}.{key}": value for name in component_names.split()}


_SAMPLE = {"workload.inputs.dataset": "librivox_sample"}
"""The speech that ships, for networks of sets that do not."""

_TILES = "tile_inputs dac crossbar sample_hold adc shift_add tile_outputs"
"""Components of memristor_tile that stand in every tile."""

_ON_TILES = '"op:linear": {engine: crossbar_tiles}, "op:depthwise": {engine: crossbar_tiles}, '
"""Entries of a placement that a chip with tiles and a digital array needs for the matrices."""

_BLOCK = {"workload.graph.blocks.blocks": "1", "workload.graph.output.input": "blocks.0.norm"}
"""One block of a Conformer instead of all."""

CASES: dict[str, Case] = {
    # Spiking.
    "rsnn28nm": Case("rsnn28nm"),
    "rsnn28nm_sequential": Case("rsnn28nm", overrides={"components.controller.time_steps": "sequential"}),
    "rsnn28nm_unmerged": Case("rsnn28nm", overrides=_utterances(2) | {"components.zero_skip.merge_spikes": "false"}),
    "rsnn28nm_no_skip": Case(
        "rsnn28nm",
        overrides=_utterances(1)
        | {"components.zero_skip.skip_inputs": "false", "components.zero_skip.skip_spikes": "false"},
    ),
    "rsnn28nm_one_step": Case("rsnn28nm", overrides=_utterances(2) | {"workload.time_steps": "1"}),
    "rsnn28nm_no_carry_narrow": Case(
        "rsnn28nm",
        overrides=_utterances(1)
        | {
            "workload.graph.l0.membrane_carry": "false",
            "workload.graph.l1.membrane_carry": "false",
            "components.pe.accumulator_bits": "9",
            "components.pe.switch_cycles": "2",
        },
    ),
    "rsnn28nm_activity": Case("rsnn28nm", "rsnn_paper_activity"),
    "rsnn28nm_activity_sequential": Case(
        "rsnn28nm",
        "rsnn_paper_activity",
        {"workload.inputs.frames": "200", "components.controller.time_steps": "sequential"},
        seed=3,
    ),
    "rsnn28nm_activity_one_step_back_to_back": Case(
        "rsnn28nm",
        "rsnn_paper_activity",
        {"workload.inputs.frames": "200", "workload.time_steps": "1", "pacing.mode": "back_to_back"},
    ),
    # Dense on tiles.
    "memristor_tile": Case("memristor_tile"),
    "memristor_tile_seed_2_ideal_adc": Case(
        "memristor_tile", overrides=_utterances(1) | {"components.adc.ideal": "true"}, seed=2
    ),
    "memristor_tile_bit_serial": Case(
        "memristor_tile", overrides=_utterances(1) | {"components.dac.mode": "bit_serial"}
    ),
    "memristor_tile_two_copies": Case(
        "memristor_tile",
        overrides=_utterances(2)
        | _components(_TILES, "tiles", "6")
        | {"placement": "{phones: {copies: 2, converters: [{plane: 2, precision_bits: 3, range_bits: 5}]}}"},
    ),
    "memristor_tile_mesh": Case(
        "memristor_tile",
        overrides=_utterances(1)
        | {
            "components.tile_bus": "{kind: mesh, columns: 3, rows: 1, width_bits: 64, length: 0.5 mm}",
            "arbitration": "{}",
        },
    ),
    "memristor_tile_offset_sign": Case(
        "memristor_tile",
        overrides=_utterances(1)
        | {
            "components.crossbar.sign": "offset",
            "components.crossbar.cell_bits": "2",
            "components.crossbar.planes": "2",
            "components.crossbar.device": "gaussian",
        },
    ),
    "memristor_tile_small_rows_isaac32": Case(
        "memristor_tile",
        overrides=_utterances(1)
        | _components(_TILES, "tiles", "6")
        | {"components.crossbar.rows": "64", "components.crossbar.noise": "legacy", "technology.cost": "isaac32"},
    ),
    "memristor_tile_programmed_thrice": Case(
        "memristor_tile",
        overrides=_utterances(1)
        | {"programming_runs": "3", "arbitration.tile_bus": "round_robin", "components.adc.cycles_per_conversion": "3"},
    ),
    "isaac_tile": Case("isaac_tile"),
    "neurram_core": Case("neurram_core"),
    # State space.
    "imssa": Case("imssa", overrides=_utterances(6), needs_data=True),
    "imssa_5bit_write_noise": Case(
        "imssa",
        "s4d_digits/5bit",
        _utterances(3)
        | {
            "components.crossbar.device_settings": "{write_noise: 2 uS, stuck_at_low_resistance: 0.01}",
            "programming_runs": "2",
        },
        seed=1,
        needs_data=True,
    ),
    "imssa_unscored": Case(
        "imssa", "s4d_digits/3bit_free", _SAMPLE | {"workload.inputs.seconds": "1", "workload.score": "null"}
    ),
    "imssa28": Case("imssa28", overrides=_utterances(4), needs_data=True),
    "imssa28_1bit": Case("imssa28", "s4d_digits/1bit", _utterances(3), needs_data=True),
    "s4d_digital28": Case("s4d_digital28", overrides=_utterances(6), needs_data=True),
    "s4d_digital28_4bit_unscored": Case(
        "s4d_digital28", "s4d_digits/4bit", _SAMPLE | {"workload.inputs.seconds": "1", "workload.score": "null"}
    ),
    "imssa10": Case("imssa10", overrides=_utterances(20), needs_data=True),
    "imssa10_write_noise": Case(
        "imssa10",
        overrides=_utterances(10)
        | {"components.crossbar.device_settings.write_noise": "3 uS", "programming_runs": "2"},
        seed=5,
        needs_data=True,
    ),
    "imssa10_unscored": Case("imssa10", overrides=_SAMPLE | {"workload.inputs.seconds": "2", "workload.score": "null"}),
    # Two engines.
    "tiles_and_pes": Case("tiles_and_pes", overrides=_utterances(2)),
    "state_and_vector": Case("state_and_vector", overrides=_utterances(20), needs_data=True),
    "state_and_vector_unscored": Case(
        "state_and_vector",
        overrides=_SAMPLE
        | {"workload.inputs.seconds": "2", "workload.score": "null", "components.vector.number": "float32"},
    ),
    # Graphs on tiles and digital arrays.
    "memristor_conformer": Case(
        "memristor_conformer", overrides=_utterances(1) | {"programming_runs": "1"}, needs_data=True
    ),
    "memristor_conformer_digital_positions": Case(
        "memristor_conformer",
        overrides=_utterances(1)
        | {
            "programming_runs": "1",
            "placement": "{"
            + _ON_TILES
            + '"front.*": {engine: digital}, output: {engine: digital}, "*.linear_pos": {engine: digital},'
            ' "*.conv.pointwise*": {engine: digital, batch: 4}}',
            "components.queue.entries": "96",
            "components.activations.banks": "48",
            "components.weights.banks": "12",
        },
        seed=2,
        needs_data=True,
    ),
    "memristor_conformer_two_copies": Case(
        "memristor_conformer",
        overrides=_utterances(2)
        | _BLOCK
        | {
            "programming_runs": "1",
            "placement": "{"
            + _ON_TILES
            + '"front.*": {engine: digital}, output: {engine: digital}, "*.ff1*": {copies: 2},'
            ' "*.ff2*": {copies: 3, converters: [{plane: 0, precision_bits: 2, range_bits: 6}]}}',
        },
        needs_data=True,
    ),
    "memristor_conformer_bit_serial_offset": Case(
        "memristor_conformer",
        overrides=_utterances(1)
        | _BLOCK
        | {
            "programming_runs": "1",
            "placement": "{"
            + _ON_TILES
            + '"front.*": {engine: digital}, output: {engine: digital}, "*.depthwise": {engine: digital}}',
            "components.dac.mode": "bit_serial",
            "components.crossbar.sign": "offset",
            "components.crossbar.planes": "4",
            "components.sample_hold.units": "512",
            "components.adc.units": "8",
            "components.shift_add.units": "8",
            "pacing.mode": "back_to_back",
        },
        needs_data=True,
    ),
    "memristor_conformer_learnable": Case(
        "memristor_conformer",
        "conformer_an4/learnable_4",
        _utterances(1) | _BLOCK | {"programming_runs": "1", "components.activations.banks": "52"},
        needs_data=True,
    ),
    "memristor_conformer_no_positions": Case(
        "memristor_conformer",
        "conformer_an4/none_4",
        _utterances(1) | _BLOCK | {"programming_runs": "1"},
        needs_data=True,
    ),
    "memristor_conformer_relative_no_linear": Case(
        "memristor_conformer",
        "conformer_an4/relative_no_linear_4",
        _utterances(1) | _BLOCK | {"programming_runs": "1"},
        needs_data=True,
    ),
    "memristor_conformer_3bit": Case(
        "memristor_conformer",
        "conformer_an4/relative_3",
        _utterances(1)
        | _BLOCK
        | {"programming_runs": "1", "components.crossbar.planes": "2", "components.crossbar.noise": "none"},
        needs_data=True,
    ),
    "memristor_conformer_wide": Case(
        "memristor_conformer_wide", overrides=_utterances(1) | _BLOCK | {"programming_runs": "1"}, needs_data=True
    ),
    "memristor_conformer_ls": Case(
        "memristor_conformer_ls", overrides=_SAMPLE | _BLOCK | _utterances(1) | {"programming_runs": "1"}
    ),
    "memristor_conformer_42m": Case(
        "memristor_conformer_42m", overrides=_BLOCK | {"workload.inputs.seconds": "1", "programming_runs": "1"}
    ),
    "memristor_conformer_77m": Case(
        "memristor_conformer_77m", overrides=_BLOCK | {"workload.inputs.seconds": "1", "programming_runs": "1"}
    ),
    "memristor_conformer_stream": Case(
        "memristor_conformer_stream", overrides=_SAMPLE | _BLOCK | _utterances(1) | {"programming_runs": "1"}
    ),
    "memristor_conformer_stream_vanilla_tiles": Case(
        "memristor_conformer_stream",
        "conformer_stream/vanilla_8",
        _SAMPLE
        | _BLOCK
        | _utterances(1)
        | {"programming_runs": "2", "placement": "{" + _ON_TILES + "front.convs.*: {engine: digital}}"},
        seed=1,
    ),
    "conformer_digital28": Case("conformer_digital28", overrides=_utterances(3), needs_data=True),
    "conformer_digital28_8bit_batch": Case(
        "conformer_digital28",
        "conformer_an4/relative_8",
        _utterances(2) | {"components.weights.banks": "36", "placement": '{"*": {batch: 8}}'},
        needs_data=True,
    ),
    "conformer_digital28_77m": Case("conformer_digital28_77m", overrides=_BLOCK | {"workload.inputs.seconds": "1"}),
    # Streaming on an NPU.
    "edge_npu": Case("edge_npu", overrides=_SAMPLE | _utterances(1)),
    "edge_npu_int8": Case(
        "edge_npu",
        "conformer_stream/separable_8",
        _SAMPLE | _utterances(1) | {"components.array.number": "int8", "components.array.accumulator": "int32"},
    ),
    "edge_npu_8bit_weights": Case("edge_npu", "conformer_stream/separable_8", _SAMPLE | _utterances(1)),
    "edge_npu_fallback": Case("edge_npu", overrides=_SAMPLE | _utterances(1) | {"compiler.layout": "BSC"}),
    "edge_npu_fallback_batched_whole": Case(
        "edge_npu",
        "conformer_stream/vanilla",
        _SAMPLE
        | _BLOCK
        | _utterances(1)
        | {"compiler.layout": "BSC", "compiler.attention": "batched", "compiler.split": "false"},
    ),
    "edge_npu_batched": Case(
        "edge_npu", overrides=_SAMPLE | _utterances(1) | {"compiler.attention": "batched"}, seed=7
    ),
    "edge_npu_whole": Case(
        "edge_npu",
        "conformer_stream/vanilla",
        _SAMPLE | _utterances(1) | {"compiler.split": "false", "components.l2.rows": "2048"},
    ),
    "edge_npu_output_stationary_plain": Case(
        "edge_npu",
        overrides=_SAMPLE
        | _utterances(1)
        | {
            "components.array.dataflow": "output_stationary",
            "components.array.accumulator": "float16",
            "components.vector.norm": "plain",
            "components.vector.softmax": "plain",
        },
    ),
    "edge_npu_short_chunks": Case(
        "edge_npu",
        overrides=_SAMPLE | _utterances(2) | {"workload.graph.blocks.chunk": "4", "workload.graph.blocks.left": "12"},
    ),
    "edge_npu_384": Case("edge_npu", "conformer_stream_384", _BLOCK | {"workload.inputs.seconds": "2"}),
    "edge_npu_tiles": Case("edge_npu_tiles", overrides=_SAMPLE | _BLOCK | _utterances(1) | {"programming_runs": "2"}),
    "edge_npu_phone": Case("edge_npu_phone", overrides=_SAMPLE | _utterances(1)),
    "edge_npu_phone_vanilla_8": Case(
        "edge_npu_phone",
        "conformer_stream/vanilla_8",
        _SAMPLE | _utterances(1) | {"components.array.double_buffered": "false", "pacing.mode": "back_to_back"},
    ),
    "edge_npu_phone_384_separable": Case(
        "edge_npu_phone",
        "conformer_stream_384/separable",
        _BLOCK | {"workload.inputs.seconds": "2", "compiler.attention": "batched"},
    ),
    # Wake words, the network's shape with drawn weights.
    "wake_word_npu": Case("wake_word_npu", overrides=_utterances(1)),
    "wake_word_npu_streamed": Case("wake_word_npu", overrides=_utterances(1) | {"compiler.weights": "streamed"}),
    "wake_word_digital28": Case("wake_word_digital28", overrides=_utterances(1)),
    "wake_word_tiles": Case("wake_word_tiles", overrides=_utterances(1) | {"programming_runs": "1"}),
}


_CROSSBARS = (
    "edge_npu_tiles", "imssa", "isaac_tile", "memristor_", "neurram_core", "state_and_vector", "tiles_and_pes",
    "wake_word_tiles",
)  # fmt: skip
_WITH_WIRES = frozenset(
    {
        "imssa", "imssa10_unscored", "isaac_tile", "memristor_tile",
        "memristor_tile_offset_sign", "neurram_core", "tiles_and_pes",
    }
)  # fmt: skip
"""Cases with the wires of their chips. All others were recorded before arrays had any, and are kept without."""
CASES = {
    name: replace(case, overrides={"components.crossbar.wires": "none", **case.overrides})
    if case.architecture.startswith(_CROSSBARS) and name not in _WITH_WIRES
    else case
    for name, case in CASES.items()
}


def rerun(case: Case) -> dict[str, Any]:
    """Do a run and return its record: ``result``, ``outputs``, and the rows of ``schedule``."""
    run = run_in_full(case.architecture, case.workload, overrides=case.overrides, seed=case.seed)
    result = json.loads(record(run).to_json())
    for key in ("versions", "command"):
        del result[key]
    for key in ("arch", "workload"):
        del result[key]["sha256"]
    return {"result": result, "outputs": _outputs(run.execution.outputs), "schedule": run.schedule.table()}


def _outputs(values: NDArray[Any] | None) -> dict[str, Any] | None:
    """Return shape and hash of a run's outputs, as float64: it holds all their integers and floats exactly."""
    if values is None:
        return None
    # Plus zero: of a sum that is nothing the sign says nothing.
    same = np.ascontiguousarray(values, "<f8") + 0.0
    return {"shape": list(same.shape), "sha256": hashlib.sha256(same.tobytes()).hexdigest()}


def file_of(name: str) -> Path:
    """Return where a case's record lies."""
    return FOLDER / f"{name}.json.gz"


def read(name: str) -> dict[str, Any]:
    """Return a case's record as it was kept."""
    return json.loads(gzip.decompress(file_of(name).read_bytes()))


def write(name: str, recorded: Mapping[str, Any]) -> None:
    """Keep a case's record: the same bytes for the same record."""
    text = json.dumps(recorded, sort_keys=True, separators=(",", ":"))
    FOLDER.mkdir(exist_ok=True)
    file_of(name).write_bytes(gzip.compress(text.encode(), mtime=0))


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield where a record differs from the one that was kept, and how.

    A result may have keys that the kept one does not have; nothing else may differ, but for `TOLERANCE`.
    """
    if type(old) is not type(new):
        yield f"{path}: {old!r} became {new!r}"
    elif isinstance(old, dict):
        for key in old:
            if key in new:
                yield from differences(old[key], new[key], f"{path}.{key}" if path else key)
            else:
                yield f"{path}.{key}: gone"
        if path.startswith("schedule"):
            yield from (f"{path}.{key}: new" for key in new.keys() - old.keys())
    elif isinstance(old, list):
        if len(old) != len(new):
            yield f"{path}: {len(old)} items became {len(new)}"
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif isinstance(old, float) and ".uncertainty." in path:
        if not math.isclose(old, new, rel_tol=TOLERANCE):
            yield f"{path}: {old!r} became {new!r}"
    elif repr(old) != repr(new):
        yield f"{path}: {old!r} became {new!r}"
