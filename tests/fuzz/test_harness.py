"""The harness sees what it is there to see: each fault is made on purpose, by a plug-in."""

from __future__ import annotations

import random

import pytest
from harness import Case, Fuzzer, case_of, keep, kinds, load, name_of, smaller
from mutate import damaged

LISTED = ("list", "--plugin", "p.py")
FAULTS = {
    "traceback: ZeroDivisionError": "import atexit\natexit.register(lambda: 1 / 0)",
    "exit code 7": "import os\nos._exit(7)",
    "exit code 1 without a message": "import os\nos._exit(1)",
    "ended by signal 6": "import os\nos.abort()",
    "over 1 GB of memory": "b = b'x' * 1_100_000_000",
    "writes where it may not": "open('/tmp/accelsim-fuzz-probe', 'w').close()",
    "leaves a file behind": "open('left', 'w').close()",
    "changes what it was given": "open('given', 'w').close()",
    "leaves temporary files behind": "import tempfile\ntempfile.mkstemp()",
    "a warning of Python": "import warnings\nwarnings.warn('odd')",
    "a message that names neither": "import os\nos.write(2, b'no')\nos._exit(2)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fuzzer: Fuzzer, fault):
    case = Case({"p.py": FAULTS[fault].encode(), "given": b"1"}, LISTED, may_write=())
    _, found = fuzzer.run(case)
    assert any(one.startswith(fault) for one in found), found


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("how", "fault"), [("while True: pass", "over 10 s"), ("import time\ntime.sleep(99)", "ended")]
)
def test_a_hang_is_seen(fuzzer: Fuzzer, how, fault):
    _, found = fuzzer.run(Case({"p.py": how.encode()}, LISTED))
    assert any(one.startswith(fault) for one in found), found


def test_a_clean_end_has_no_fault(fuzzer: Fuzzer):
    code = b"import os\nos.makedirs('out/a')\nopen('out/a/b', 'w').close()"
    outcome, found = fuzzer.run(Case({"p.py": code}, LISTED))
    assert (outcome.code, found) == (0, [])
    assert "imssa" in outcome.out


def test_a_check_of_a_case_is_made(fuzzer: Fuzzer):
    def check(folder, outcome):
        assert (folder / "p.py").is_file()
        assert outcome.code == 3, "not three"

    _, found = fuzzer.run(Case({"p.py": b""}, LISTED, check=check))
    assert [name_of(one) for one in found] == ["check: not three"]


def test_a_failing_case_shrinks_and_comes_back_from_the_corpus(fuzzer: Fuzzer, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.CORPUS", tmp_path)
    code = b"a = 1\nb = 2\nopen('left', 'w').close()\nc = 3\n"
    case = Case({"p.py": code, "other.bin": b"\0"}, LISTED, (), {"ACCELSIM_DATA": "data"})
    _, (fault, *_) = fuzzer.run(case)
    least = smaller(fuzzer, case, fault)
    assert least.files == {"p.py": b"open('left', 'w').close()\n"}
    again = load(keep("none", least, fault))
    assert (again.files, again.argv, again.may_write, again.env) == (least.files, list(LISTED), [], dict(least.env))
    assert name_of(fault) in map(name_of, fuzzer.run(again)[1])


@pytest.mark.parametrize("name", kinds())
def test_cases_depend_on_seed_and_index_alone(name):
    kind = kinds()[name]
    for index in range(3):
        one, other = case_of(kind, 5, index), case_of(kind, 5, index)
        assert (one.files, one.argv, one.env) == (other.files, other.argv, other.env)


def test_damage_is_of_many_sorts():
    text = "a: 1\nb: {c: 2 V, d: [x, y]}\n"
    texts = [damaged(random.Random(seed), text) for seed in range(200)]
    assert len(set(texts)) > 150
