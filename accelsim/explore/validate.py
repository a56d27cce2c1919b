"""Checking a file of any schema on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelsim.architecture import ArchitectureSpec, load_architecture, load_converters, load_cost
from accelsim.cost import check_point
from accelsim.devices import AnyDevice, load_device
from accelsim.devices.wire_tables import load_wire_table
from accelsim.errors import InputError, did_you_mean, show
from accelsim.explore.comparison import load_paper
from accelsim.explore.sweep import SweepSpec, load_sweep
from accelsim.placement import check_chip, load_placement
from accelsim.plugins import registries
from accelsim.result import Result
from accelsim.schema import json_schema, load_yaml
from accelsim.schema.converters import MeasuredConverters
from accelsim.schema.cost import CostTable
from accelsim.schema.paper import Paper
from accelsim.schema.placement import PlacementFile
from accelsim.schema.wires import WireTable
from accelsim.workload import Variant, WorkloadSpec, load_workload

SCHEMAS: dict[str, Any] = {
    "arch": ArchitectureSpec,
    "cost": CostTable,
    "workload": WorkloadSpec | Variant,
    "paper": Paper,
    "device": AnyDevice,
    "converters": MeasuredConverters,
    "wires": WireTable,
    "placement": PlacementFile,
    "sweep": SweepSpec,
}


def validate_file(path: Path) -> str:
    """Check one file by its ``schema:`` tag and say what it is; raises InputError with all its problems."""
    if path.suffix == ".json":
        return f"a result of {Result.read(path).arch.name}"
    source = load_yaml(path)
    data = source.data
    tag = data.get("schema") if isinstance(data, dict) else None
    kind = str(tag).removeprefix("accelsim/").split("@")[0]
    if kind == "arch":
        chip = load_architecture(path)
        check_chip(chip)
        for point in (chip, *chip.operating_points.values()):
            check_point(point)
        return f"architecture '{chip.spec.name}'"
    if kind == "cost":
        return f"cost table '{load_cost(path).name}'"
    if kind == "workload":
        return f"workload '{load_workload(path).spec.name}'"
    if kind == "device":
        return f"device '{load_device(path).name}'"
    if kind == "wires":
        return f"table of wires '{load_wire_table(path).name}'"
    if kind == "converters":
        return f"converters '{load_converters(path).name}'"
    if kind == "placement":
        load_placement(path)
        return "a placement"
    if kind == "paper":
        return f"paper '{load_paper(path).name}'"
    if kind == "sweep":
        return f"sweep of {load_sweep(path).architecture}"
    hint = did_you_mean(kind, SCHEMAS) if tag else "write for example 'schema: accelsim/arch@1'"
    message = f"unknown schema {show(tag)}" if tag else "missing key 'schema'"
    raise InputError([source.problem(message, ("schema",), hint)])


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON schema of a kind of file; raises InputError for an unknown one."""
    if name == "result":
        return Result.model_json_schema(by_alias=True)
    if name not in SCHEMAS:
        raise InputError.of(f"no schema named '{name}'", hint=did_you_mean(name, [*SCHEMAS, "result"]))
    for registry in registries():
        registry.values()  # an editor is to know what plug-ins add
    return json_schema(SCHEMAS[name], name)
