"""Results and stores made by hand, for the tests of what is shown of them."""

from __future__ import annotations

from pathlib import Path

import accelsim
from accelsim.architecture import load_architecture
from accelsim.explore.space import Point
from accelsim.explore.store import Outcome, Store
from accelsim.placement import sites_of
from accelsim.result import (
    AccuracyRecord,
    AdcRecord,
    ArrayRecord,
    ChannelRecord,
    ClipRecord,
    EngineRecord,
    FirstLoad,
    FurtherRecord,
    PlanRecord,
    PluginRecord,
    Programming,
    Result,
    UtteranceRecord,
)

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"

# (rows, bits) -> energy per frame in nJ, error in %: 1, 2 and 5 are on the front; 3 loses to 2, 0 and 4 to 1.
GRID = {
    ("64", "4"): (9.0, 40.0),
    ("64", "6"): (1.0, 30.0),
    ("128", "4"): (2.0, 20.0),
    ("128", "6"): (3.0, 25.0),
    ("256", "4"): (4.0, 30.0),
    ("256", "6"): (8.0, 10.0),
}
FRONT = (1, 2, 5)


def small_run() -> Result:
    """Return a short run of the spiking chip, dressed with an accuracy and converters that clip."""
    result = accelsim.run(
        "rsnn28nm", "rsnn_paper_activity", overrides={"workload.inputs.frames": "20"}, command="accelsim run rsnn28nm"
    )
    layers = [layer.model_copy() for layer in result.layers]
    layers[-1] = layers[-1].model_copy(update={"adc": AdcRecord(conversions=2000, clipped=150)})
    return result.model_copy(update={"layers": layers, "accuracy": accuracy(51.0)})


def accuracy(percent: float) -> AccuracyRecord:
    return AccuracyRecord(
        metric="phoneme error rate", value=percent, low=percent - 5, high=percent + 5, reference_value=None, loss=None,
        n=251, counted="phones", unit="%", dataset="a test",
    )  # fmt: skip


def hostile_run(result: Result) -> Result:
    """Return a run in which every text that comes from a file tries to break out of the page."""
    layers = [layer.model_copy(update={"name": f"{HOSTILE}{i}"}) for i, layer in enumerate(result.layers)]
    provenance = result.provenance.model_copy(
        update={"assumptions": [HOSTILE], "calibrated": [HOSTILE], "predicted": [HOSTILE]}
    )
    # The first component moves data, so that its name reaches the roofline too.
    names = {c.name: f"{HOSTILE}{c.name}" for c in result.components}
    components = [c.model_copy(update={"name": names[c.name], "kind": HOSTILE}) for c in result.components]
    layers = [
        layer.model_copy(update={"moved_bytes": {names[name]: moved for name, moved in layer.moved_bytes.items()}})
        for layer in layers
    ]
    identity = result.arch.model_copy(update={"name": HOSTILE, "sha256": HOSTILE})
    return result.model_copy(
        update={
            "arch": identity, "workload": identity, "command": HOSTILE, "layers": layers, "components": components,
            "provenance": provenance, "versions": {HOSTILE: HOSTILE},
        }
    )  # fmt: skip


def small_sweep(folder: Path, result: Result, key: str = "components.crossbar.rows") -> Path:
    """Write a store of six configurations of known figures, and a seventh that failed, and return its folder."""
    meta = {
        "kind": "sweep", "architecture": {"name": result.arch.name, "sha256": "0" * 64},
        "workload": {"name": result.workload.name, "sha256": "1" * 64}, "set": {}, "method": "grid", "points": None,
        "axes": [{key: ["64", "128", "256"]}, {"components.adc.precision_bits": ["4", "6"]}],
        "swept": [key, "components.adc.precision_bits"], "seed": 0, "seeds": 1,
        "objectives": ["energy_per_frame_j", "error_percent"], "constraints": [], "accelsim": "0.1.0",
        "command": "accelsim sweep chip",
    }  # fmt: skip
    with Store.create(folder, meta) as store:
        for number, ((rows, bits), (nanojoules, percent)) in enumerate(GRID.items()):
            point = Point(number, number, 0, {key: rows, "components.adc.precision_bits": bits})
            energy = result.energy.model_copy(update={"per_frame_j": nanojoules * 1e-9})
            made = result.model_copy(update={"energy": energy, "accuracy": accuracy(percent)})
            store.add(Outcome(point, made))
        failed = Point(6, 6, 0, {key: "512", "components.adc.precision_bits": "4"})
        store.add(Outcome(failed, None, f"too large {key if key == HOSTILE else ''}"))
    return folder


def full_run() -> Result:
    """Return the same run with everything that a record can tell: a plan, programming, wires, what was heard."""
    result = small_run()
    heard = accuracy(51.0).model_copy(
        update={
            "reference_value": 48.0, "loss": 3.0, "exact_value": 50.0, "runs": [50.0, 52.0], "mean": 51.0, "sd": 1.41,
            "speakers": 3, "unknown": 2,
            "further": [
                FurtherRecord(
                    metric="false accepts", value=0.5, low=0.1, high=0.9, n=7, counted="hours", unit="1/h", runs=[0.5]
                )
            ],
            "per_utterance": UtteranceRecord(lengths=[100, 151], errors=[[50, 76], [52, 78]], reference=[48, 72]),
        }
    )  # fmt: skip
    layers = [
        layer.model_copy(update={"saturations": i, "faults": {"overflow": i}}) for i, layer in enumerate(result.layers)
    ]
    plan = PlanRecord(
        frames=10, seconds=0.1, pieces={"l0": 2}, spilled={"l1": 4096}, weight_bytes=150_000, state_bytes=512,
        state_in_l2=True, peak_bytes=20_000, room_bytes=65_536, lpddr_bytes=154_096, on_cpu=["fc"],
    )  # fmt: skip
    plugin = PluginRecord(
        group="accelsim.ops", name="mine", distribution="mine", version="1.0", module="mine.ops", sha256="0" * 64
    )
    more = {
        "accuracy": heard, "layers": layers, "plan": plan,
        "first_load": FirstLoad(bytes=1000, energy_j=1e-6, time_s=1e-3),
        "programming": Programming(
            cells=448, write_pulses=1000, reached_by_read=3, time_s=1e-3, energy_j=1e-9, energy_interval_j=(5e-10, 2e-9)
        ),
        "arrays": [ArrayRecord(name="crossbar", row_ohm=1.0, column_ohm=2.0, mean_drop=0.1, residue_rms=0.2)],
        "clips": ClipRecord(
            utterances=9, trimmed=2, trimmed_s=0.1, cut=1, cut_s=0.2, quiet=3, padded=4, padded_s=0.3
        ),
        "provenance": result.provenance.model_copy(update={"extrapolated": ["0.3 V is too low"], "plugins": [plugin]}),
    }  # fmt: skip
    return result.model_copy(update=more)


def as_chip(result: Result, name: str) -> Result:
    """Return a run with the components, channels and engines of a shipped chip, and figures of any size."""
    chip = load_architecture(name)
    components = [
        result.components[i % len(result.components)].model_copy(
            update={"name": part, "kind": spec.kind, "instances": spec.instances(), "area_mm2": 0.5**i}
        )
        for i, (part, spec) in enumerate(chip.components().items())
    ]
    channels = [
        ChannelRecord(from_=channel.from_, to=channel.to, lockstep=channel.lockstep, over=channel.over)
        for channel in chip.spec.channels
    ]
    engines = [
        EngineRecord(name=engine, kind=site.kind.kind, parts={role: list(p) for role, p in site.parts.names.items()})
        for engine, site in sites_of(chip)[0].items()
    ]
    identity = result.arch.model_copy(update={"name": name})
    return result.model_copy(
        update={"arch": identity, "components": components, "channels": channels, "engines": engines, "layers": [],
                "frame": None}
    )  # fmt: skip


def many_layers(result: Result) -> Result:
    """Return a run of a hundred layers and one, in twelve blocks of eight and their like, of any figures."""
    layers = [
        result.layers[(i + j) % len(result.layers)].model_copy(
            update={
                "name": f"blocks.{i}.layer{j}", "macs_performed": 1000 * (1 + i) * (1 + j), "pace_s": 1e-3 * (1 + j),
                "moved_bytes": {"weight_bus": 500.0 * (1 + i % 3) * (1 + j)},
            }
        )
        for i in range(12)
        for j in range(9 if i < 4 else 8)
    ]  # fmt: skip
    front = layers[0].model_copy(update={"name": "front"})
    return result.model_copy(update={"layers": [front, *layers]})
