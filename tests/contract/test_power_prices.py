"""Every part is paid while it waits: clock, standby and leakage in every table, flip-flops of every kind."""

from __future__ import annotations

from typing import Any

import pytest

from accelsim import library
from accelsim.architecture import load_architecture, load_cost
from accelsim.components import KINDS, ComponentSpec
from accelsim.cost import check_prices
from accelsim.engines.deploy import deploy
from accelsim.library import find
from accelsim.schedule.job import part_of
from accelsim.schema.cost import EVERY, CostTable
from accelsim.workload import load_workload

TABLES = library.names("arch/cost")


def priced(table: CostTable) -> list[str]:
    return list(dict.fromkeys(row.kind for row in table.area))


@pytest.mark.parametrize("name", TABLES)
def test_what_has_an_area_has_a_clock_standby_and_leakage(name: str) -> None:
    table = load_cost(find(name, "arch/cost"))
    for kind in priced(table):
        for state in ("clocked", "gated"):
            assert any(row.kind in (kind, EVERY) and row.state == state for row in table.clock), (kind, state)
        assert any(row.kind == kind for row in table.standby), kind
        assert any(row.kind == kind for row in table.leakage), kind


@pytest.mark.parametrize("name", TABLES)
def test_what_includes_another_price_has_one(name: str) -> None:
    """Following ``included_in`` from a row of standby or leakage one comes to a value, never in a circle."""
    table = load_cost(find(name, "arch/cost"))

    def end(section: str, kind: str, way: tuple[tuple[str, str], ...]) -> None:
        assert (section, kind) not in way, f"{way} goes round"
        rows = [row for row in getattr(table, section) if row.kind == kind]
        assert rows, (section, kind)
        for row in rows:
            if row.included_in in ("standby", "leakage"):
                end(row.included_in, kind, (*way, (section, kind)))
            elif row.included_in is not None:
                end(section, row.included_in, (*way, (section, kind)))

    for section in ("standby", "leakage"):
        for kind in priced(table):
            end(section, kind, ())


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("isaac32",)])
def test_every_price_of_waiting_has_a_range(name: str) -> None:
    """But for the sum of a chip that was fitted; ISAAC prints its clocks within its power."""
    table = load_cost(find(name, "arch/cost"))
    rows: list[Any] = [*table.clock, *table.standby, *table.leakage]
    exact = [row for row in rows if row.value is not None and row.low == row.high]
    assert {row.tag for row in exact} <= {"calibrated"}, exact


def test_only_the_chip_that_was_measured_has_fitted_leakage() -> None:
    fitted = {
        name for name in TABLES if any(row.tag == "calibrated" for row in load_cost(find(name, "arch/cost")).leakage)
    }
    assert fitted == {"cmos28_rsnn"}
    users = {name for name in library.names("arch") if load_architecture(name).spec.technology.cost in fitted}
    assert users == {"rsnn28nm", "tiles_and_pes"}


@pytest.mark.parametrize("kind", [name for name in KINDS if KINDS[name].spec.__module__.startswith("accelsim.")])
def test_every_kind_says_how_many_flip_flops_it_has(kind: str) -> None:
    assert KINDS[kind].spec.flip_flops is not ComponentSpec.flip_flops


@pytest.mark.parametrize("name", library.names("arch"))
def test_every_price_of_every_chip_is_there(name: str) -> None:
    chip = load_architecture(name)
    for point in (chip, *chip.operating_points.values()):
        check_prices(point)


@pytest.mark.parametrize("name", ["memristor_tile", "imssa10", "tiles_and_pes", "conformer_digital28", "edge_npu"])
def test_the_copies_of_a_part_have_no_more_instances_than_it(name: str) -> None:
    """And a copy at least one: what works in a job is clocked there."""
    chip = load_architecture(name)
    schedule = deploy(load_workload(chip.spec.workload), chip).schedule
    of_part: dict[str, int] = {}
    for copy, instances in schedule.instances.items():
        assert instances >= 1, copy
        of_part[part_of(copy)] = of_part.get(part_of(copy), 0) + instances
    assert all(count <= chip.components()[part].instances() for part, count in of_part.items()), of_part
    copies = {member for job in schedule.jobs for member in job.members() if member != part_of(member)}
    assert set(schedule.instances) == copies
