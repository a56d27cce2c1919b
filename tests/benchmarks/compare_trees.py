"""Processor time of whole runs in two trees: python tests/benchmarks/compare_trees.py BASE NEW [CASE ..].

Every case is a command of accelsim, run as its own process in both trees in turn, so that whatever else the machine
does strikes both alike; the figure is user plus system time of the process, of each tree the median over the rounds.
Each tree has its own compiled kernels and bytecode, made by a round that is not counted. ACCELSIM_DATA says where data
lies, as everywhere. Exit 1 if a case took more than 1.05 times as long in the new tree.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = {
    "imssa": "run imssa",
    "memristor_tile": "run memristor_tile",
    "rsnn28nm": "run rsnn28nm",
    "rsnn_paper_activity": "run rsnn28nm -w rsnn_paper_activity",
    "conformer_digital28": "run conformer_digital28 -s workload.inputs.utterances=10",
    "memristor_conformer": "run memristor_conformer -s workload.inputs.utterances=2",
    "edge_npu": "run edge_npu",
    "sweep": "sweep memristor_tile -s adc.precision_bits=1:8 -s adc.shared_by=4,8,16 --out {out}",
}
LIMIT = 1.05


def processor_seconds(tree: Path, command: str) -> float:
    """User plus system time of one run of accelsim in a tree, in seconds; RuntimeError if the run fails."""
    home = Path(tempfile.gettempdir()) / "accelsim_trees" / tree.name
    with tempfile.TemporaryDirectory() as out:
        environment = os.environ | {
            "PYTHONPATH": str(tree),
            "PYTHONPYCACHEPREFIX": str(home / "bytecode"),
            "NUMBA_CACHE_DIR": str(home / "kernels"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        arguments = shlex.split(command.format(out=Path(out) / "out"))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            [sys.executable, "-m", "accelsim", *arguments], cwd=tree, env=environment, capture_output=True, text=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode != 0:
        raise RuntimeError(f"accelsim {command} in {tree}: exit {run.returncode}\n{run.stderr}")
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def main() -> int:
    """Run the cases and print the medians of both trees, their ratio, and the ratio of the fastest rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_intermixed_args()
    slower = 0
    for name in given.cases or CASES:
        trees = (given.base.resolve(), given.new.resolve())
        for tree in trees:
            processor_seconds(tree, CASES[name])
        rounds = [[processor_seconds(tree, CASES[name]) for tree in trees] for _ in range(given.rounds)]
        base, new = ([one[k] for one in rounds] for k in (0, 1))
        ratio = statistics.median(new) / statistics.median(base)
        slower += ratio > LIMIT
        print(
            f"{name:20s} base {statistics.median(base):7.2f} s  new {statistics.median(new):7.2f} s  ratio {ratio:.3f}"
            f"  of the fastest {min(new) / min(base):.3f}",
            flush=True,
        )
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
