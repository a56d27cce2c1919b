"""Damaged inputs of every kind: a few with fixed seeds always, thousands with ``-m fuzz --count N --seed S``."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import Case, Fuzzer, Outcome, case_of, keep, kinds, name_of, shares, smaller

SHORT = 600
"""Inputs of the short run: two minutes on two cores."""
DISTINCT = 20
"""So many different faults of one kind are kept; then its run ends."""


@pytest.mark.parametrize("name", kinds())
def test_a_few_inputs(fuzzer: Fuzzer, name, capsys):
    _search([fuzzer], name, shares(SHORT)[name], 0, capsys)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", kinds())
def test_many_inputs(fuzzers: list[Fuzzer], name, capsys, pytestconfig):
    count, seed = pytestconfig.getoption("--count"), pytestconfig.getoption("--seed")
    _search(fuzzers, name, shares(count)[name], seed, capsys)


def _search(fuzzers: list[Fuzzer], name: str, count: int, seed: int, capsys) -> None:
    kind = kinds()[name]
    found: dict[str, tuple[Case, str]] = {}
    codes: Counter[str] = Counter()
    slowest = largest = 0.0

    def several(part: int) -> list[tuple[Case, Outcome, list[str]]]:
        fuzzer, results = fuzzers[part], []
        fuzzer.warm(kind)
        for index in range(part, count, len(fuzzers)):
            case = case_of(kind, seed, index)
            outcome, faults = fuzzer.run(case)
            results.append((index, case if faults else None, outcome, faults))
            for fault in faults:
                found.setdefault(name_of(fault), (case, f"input {index} of seed {seed}: {fault}"))
            if len(found) >= DISTINCT:
                break
        return results

    with ThreadPoolExecutor(len(fuzzers)) as pool:
        results = [result for part in pool.map(several, range(len(fuzzers))) for result in part]
    for _, _, outcome, _ in results:
        codes[str(outcome.code) if outcome.signal is None else f"signal {outcome.signal}"] += 1
        slowest, largest = max(slowest, outcome.cpu), max(largest, outcome.peak)
    with capsys.disabled():
        ends = ", ".join(f"{number} ended with {code}" for code, number in sorted(codes.items()))
        print(
            f"\n{name}: {len(results)} inputs of seed {seed}: {ends}; slowest {slowest:.1f} s, "
            f"largest {largest / 1e6:.0f} MB, {len(found)} kinds of faults"
        )
    told = []
    for fault_name, (case, fault) in found.items():
        least = smaller(fuzzers[0], case, fault_name)
        told.append(f"{keep(name, least, fault_name)}\n{fault}")
    assert not told, f"{len(told)} faults\n\n" + "\n\n".join(told)
