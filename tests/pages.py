"""Results and stores made by hand, for the tests of what is shown of them."""

from __future__ import annotations

from pathlib import Path

import accelsim
from accelsim.explore.space import Point
from accelsim.explore.store import Outcome, Store
from accelsim.result import AccuracyRecord, AdcRecord, Result

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
