"""Tables of a result as data frames; pandas is asked for when one is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import InputError
from accelsim.explore.metrics import METRICS
from accelsim.record import Run
from accelsim.result import Interval, Result

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]


def pandas_module() -> ModuleType:
    """Return pandas; raises InputError where it is not installed."""
    try:
        import pandas
    except ImportError:
        raise InputError.of("data frames need pandas", hint="pip install 'accelsim-speech[notebook]'") from None
    return pandas


def frame(rows: Iterable[Row], index: str | Sequence[str] | None = None) -> pandas.DataFrame:
    """Return rows as a data frame, with columns of one type each."""
    made = pandas_module().DataFrame(list(rows))
    return made.set_index(index) if index is not None and len(made) else made


def figures(result: Result) -> list[Row]:
    """Return the figures of a run by which runs are compared: value, unit, 5 to 95 % (rates: 95 %) interval."""
    a, u = result.accuracy, result.uncertainty
    intervals: dict[str, Interval] = {
        "power_w": u.power_w, "area_mm2": u.area_mm2, "power_density_mw_per_mm2": u.mw_per_mm2,
    }  # fmt: skip
    if a is not None and a.unit == "%":
        intervals["error_percent"] = (a.low, a.high)
    rows = []
    for name, metric in METRICS.items():
        if (value := metric.of(result)) is not None:
            low, high = intervals.get(name, (np.nan, np.nan))
            rows.append({"figure": name, "value": float(value), "unit": metric.unit, "low": low, "high": high})
    return rows


def components(result: Result) -> list[Row]:
    """Return what each component did, took and drew: energy in J, area in mm2, cycles of its own clock."""
    rows = []
    for part in result.components:
        energy = part.energy_j
        cycles = part.busy_cycles + part.wait_input_cycles + part.wait_output_cycles + part.idle_cycles
        rows.append(
            {"component": part.name, "kind": part.kind, "energy_j": energy.total()}
            | {f"{share}_j": joules for share, joules in energy}
            | {"area_mm2": part.area_mm2, "utilisation": part.busy_cycles / cycles if cycles else np.nan}
            | part.model_dump(include={"busy_cycles", "wait_input_cycles", "wait_output_cycles", "idle_cycles"})
        )
    return rows


def layers(result: Result) -> list[Row]:
    """Return what each layer did, in the order of the network; ``energy_j``: dynamic energy of its jobs."""
    rows = []
    for layer in result.layers:
        adc = layer.adc
        rows.append(
            {"layer": layer.name}
            | layer.model_dump(exclude={"name", "adc", "moved_bytes", "faults"})
            | {
                "adc_conversions": adc.conversions if adc else 0,
                "adc_clipped": adc.clipped if adc else 0,
                "moved_bytes": sum(layer.moved_bytes.values()),
            }
        )
    return rows


def utterances(result: Result, names: Sequence[str] | None = None) -> list[Row]:
    """Return how much was said in each utterance, and how much of it was wrong: on the chip and in float."""
    counted = result.accuracy.per_utterance if result.accuracy else None
    if counted is None:
        return []
    rows = []
    for place, length in enumerate(counted.lengths):
        row: Row = {"utterance": names[place] if names is not None else place, "length": length}
        row |= {
            f"errors_{run}" if len(counted.errors) > 1 else "errors": errors[place]
            for run, errors in enumerate(counted.errors)
        }
        if counted.reference is not None:
            row["errors_in_float"] = counted.reference[place]
        rows.append(row)
    return rows


def frames(run: Run) -> Mapping[str, Any]:
    """Return when each frame arrived and was done, in seconds, and whether that was late; as columns."""
    timeline, execution, chip = run.outcome.timeline, run.execution, run.outcome.architecture
    latency_ps = timeline.finished_ps - timeline.arrived_ps
    period_ps = round(run.batch.frame_period_s * 1e12) * execution.subsampling
    paced = chip.spec.pacing.mode == "real_time"
    lengths = np.diff(execution.starts)
    return {
        "utterance": np.repeat(np.array(run.batch.names, object), lengths),
        "frame": np.arange(execution.frames),
        "arrived_s": timeline.arrived_ps * 1e-12,
        "finished_s": timeline.finished_ps * 1e-12,
        "latency_s": latency_ps * 1e-12,
        "late": latency_ps > period_ps if paced else np.zeros(execution.frames, bool),
    }


def typed(made: pandas.DataFrame, keys: Sequence[str]) -> pandas.DataFrame:
    """Return a frame whose columns of swept keys, which are text, are numbers where all of their values are.

    Values with one unit for all become numbers of that unit, which the name of the column then says.
    """
    pandas = pandas_module()
    names = {}
    for key in (key for key in keys if key in made):
        parts = made[key].astype(str).str.extract(r"^\s*([-+0-9.eE]+)\s*([^\d\s]*)\s*$")
        numbers = pandas.to_numeric(parts[0], errors="coerce")
        units = set(parts[1])
        if numbers.notna().all() and len(units) == 1:
            made[key] = numbers
            if unit := units.pop():
                names[key] = f"{key}, {unit}"
    return made.rename(columns=names)
