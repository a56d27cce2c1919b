"""No key without an effect, no saving without a price: every numeric key of every component of every shipped chip.

Each key is halved and doubled (whole numbers to the nearest that is allowed) on a small network, and judged by what its
model declares (`accelsim.schema.Effect`):

(a) something that is declared changes, or the value is refused with file and line;
(b) what becomes smaller (time, energy or area) is paid for: another of them grows, other values come out, more of them
    saturate or clip, or the value is refused. Reasons not to pay are declared: ``spare`` room may be given up without a
    price until the work needs it, and the suite goes on halving until it does; what is ``given`` is a fact;
(c) what is not declared stays as it is: values, every count, every cycle, the price of every event, the area of every
    component.

``python tests/free_lunch.py`` prints the table of all changes.
"""

from __future__ import annotations

import functools

import pytest
from free_lunch import CASES, ELSEWHERE, Key, at_work, chip_of, judge, keys_of

from accelsim import library
from accelsim.architecture import ArchitectureSpec, load_architecture
from accelsim.components import KINDS
from accelsim.devices import DEVICES
from accelsim.schema import Effect, numeric_keys, undeclared

pytestmark = pytest.mark.no_cover
"""A thousand runs, of code that other tests cover: measuring coverage would take as long again."""

KNOWN: dict[tuple[str, str], str] = {
    ("*", "ChannelSpec.capacity"): "room for tokens that never wait has no price: its words are those of its ends",
    ("*", "ArrayWires.driver"): "0 ohm, and a hundred-thousandth of one is as good as none",
    ("*", "ArrayWires.amplifier"): "0 ohm, and a hundred-thousandth of one is as good as none",
    (
        "imssa28",
        "components.crossbar.wires.column",
    ): "twice 0.35 ohm moves no code of this sample and less than a nanowatt",
    ("edge_npu_tiles", "components.tile_vector.special_lanes"): "tiles make codes and scale sums: no specials at all",
    ("edge_npu_tiles", "components.tile_vector.cycles_per_special"): "tiles make codes and scale sums: no specials",
}
"""Faults that stand, by chip and key, each with its reason; for ``*``, on some chips the key may change nothing."""


@functools.cache
def groups(case: str) -> dict[str, list[Key]]:
    """Return the keys of a chip by component, and by section for those of none."""
    found: dict[str, list[Key]] = {}
    for key in keys_of(chip_of(case)):
        group = key.component or key.path.partition(".")[0]
        found.setdefault(f"{group} cells" if ".device_settings." in key.path else group, []).append(key)
    return found


@pytest.mark.parametrize(("case", "group"), [(case, group) for case in CASES for group in groups(case)])
def test_no_free_lunch(case: str, group: str) -> None:
    for key in groups(case)[group]:
        everywhere = ("*", f"{key.model.__name__}.{key.name}") in KNOWN
        faults = [
            one.row()
            for one in judge(case, key)
            if one.faults and not (everywhere and one.faults == ("changes nothing",))
        ]
        if (case, key.path) in KNOWN:
            assert faults, f"{case} {key.path} passes: take it out of KNOWN"
        else:
            assert not faults, "\n".join(faults)


def test_every_numeric_key_is_covered() -> None:
    """Of every kind of component and device that is registered, on every chip of the library: 100 %."""
    tried = {(case, key.path) for case in CASES for keys in groups(case).values() for key in keys}
    every = {(case, key.path) for case in CASES for key in keys_of(chip_of(case))}
    assert tried == every and len(every) > 1000
    kinds = {(key.model, key.name) for case in CASES for key in keys_of(chip_of(case)) if at_work(case, key)}
    idle = {(key.model, key.name) for case in CASES for key in keys_of(chip_of(case))} - kinds
    for kind in KINDS.values():
        keys = {(kind.spec, name) for name in numeric_keys(kind.spec)}
        assert keys <= kinds | idle, f"no chip has these keys of a {kind.name}: {keys - kinds - idle}"
    assert {model.__name__ for model, _ in idle} <= {"MaxPool", "Router", "Sigmoid"}, "parts that no network uses"
    for kind_of_device in DEVICES.values():
        names = {name for name in numeric_keys(kind_of_device)}
        assert not undeclared(kind_of_device) and names


def test_every_chip_of_the_library_is_tried_or_has_the_keys_of_one_that_is() -> None:
    """A chip that is like another one has no component, and none of a kind, that the other has not."""
    alike = {name: case for case in CASES.values() for name in (case.architecture, *case.like)}
    assert sorted(alike) == sorted(library.names("arch"))
    for name, case in alike.items():
        ours, theirs = (load_architecture(which).components() for which in (name, case.architecture))
        # A further component of a kind that is there already, with the same keys, is not a further key.
        assert {spec.kind for spec in ours.values()} <= {spec.kind for spec in theirs.values()}, name
        assert ours.keys() <= theirs.keys() or name == "neurram_core", name


def test_sections_that_are_tried_elsewhere_are_sections() -> None:
    assert ELSEWHERE.keys() <= ArchitectureSpec.model_fields.keys()


def test_a_reason_is_a_sentence_or_nothing() -> None:
    for kind in KINDS.values():
        for base in kind.spec.__mro__:
            for key, effect in vars(base).get("effects", {}).items():
                assert isinstance(effect, Effect)
                assert all(len(text) > 8 for text in (effect.spare, effect.given) if text), f"{kind.name}.{key}"
