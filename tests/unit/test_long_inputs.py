"""Texts and files of absurd length: answered at once, in a message that can be read."""

from __future__ import annotations

import time

import pytest

from accelsim.architecture import load_architecture
from accelsim.errors import LONGEST_MESSAGE, MOST_PROBLEMS, InputError, Problem
from accelsim.explore.sweep import Sweep
from accelsim.library import find
from accelsim.simulate import Window


def test_a_message_ends_somewhere():
    text = str(Problem("x" * 10_000 + " is wrong", "chip.yaml", 3))
    assert text.startswith("chip.yaml:3: xxx") and "x...x" in text and text.endswith("x is wrong")
    assert len(text) == LONGEST_MESSAGE


def test_so_many_problems_are_shown_and_the_others_counted():
    lines = str(InputError(Problem("wrong", "chip.yaml", line) for line in range(1, MOST_PROBLEMS + 1235))).splitlines()
    assert lines[0] == "chip.yaml:1: wrong"
    assert lines[MOST_PROBLEMS - 1 :] == [f"chip.yaml:{MOST_PROBLEMS}: wrong", "and 1,234 more"]


def test_a_path_of_many_parts_takes_no_time():
    begun = time.process_time()
    with pytest.raises(InputError, match=r"no key with 60,001 parts in .*rsnn28nm\.yaml"):
        load_architecture("rsnn28nm", {"a." * 60_000 + "b": "1"})
    assert time.process_time() - begun < 2


def test_operating_points_have_a_limit(tmp_path):
    text = find("rsnn28nm", "arch").read_text()
    points = "".join(f"  p{i}: {{clocks.main.frequency: {i + 1} MHz}}\n" for i in range(300))
    path = tmp_path / "chip.yaml"
    path.write_text(text.replace("operating_points:\n", f"operating_points:\n{points}"))
    with pytest.raises(InputError, match=r"chip\.yaml:\d+: more than 200 operating points .*operating_points=301"):
        load_architecture(path)


def test_axes_have_a_limit(accelsim):
    axes = [text for i in range(201) for text in ("-s", f"components.pe.k{i}=1,2")]
    outcome = accelsim("sweep", "rsnn28nm", *axes, "--out", "out", "--method", "lhs", "--points", 3)
    assert (outcome.code, outcome.err) == (2, "error: more than 200 axes (raise it: --limit axes=201)\n")


def test_an_objective_that_is_named_twice_counts_once():
    sweep = Sweep("rsnn28nm", None, (), objectives=("energy", "area", *["energy"] * 100_000, "energy_per_frame_j"))
    begun = time.process_time()
    assert [metric.short for metric in sweep.metrics()] == ["energy", "area"]
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("text", ["0:" + "9" * 5000, "9" * 5000 + ":", "0ms:" + "9" * 5000 + " s"])
def test_a_window_of_many_digits_is_refused(text):
    with pytest.raises(InputError, match="is not a window BEGIN:END"):
        Window.parse(text)


@pytest.mark.parametrize("bits", ["²", "٣x", "9" * 5000])
def test_bits_are_a_number_of_few_digits(accelsim, tmp_path, bits):
    (tmp_path / "net.nir").write_bytes(b"")
    outcome = accelsim("import", "net.nir", "--out", "out", "--bits", bits)
    assert outcome.code == 2
    assert "is not a number of bits" in outcome.err
