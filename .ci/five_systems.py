"""Run the systems of the five papers as a wheel installs them, without speech data, network or compiled kernels.

    python .ci/five_systems.py        in an environment that has the wheel and nothing else of accelsim

Each has to score real speech that ships, with an interval, within a minute. Kernels are compiled in each run, and
nothing is there of what earlier runs keep.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SYSTEMS = {
    "rsnn28nm": ("rsnn28nm",),
    "imssa": ("imssa",),
    "memristor_asr": ("memristor_conformer", "-w", "conformer_an4/none_4"),
    "positional_encoding": ("memristor_conformer", "-w", "conformer_an4"),
    "edge_conformer": ("edge_npu",),
}
SECONDS, SHARED = 60, 1.5
"""Each takes less on two quiet cores; half as long again on a machine that others use too is no fault."""


def offline() -> list[str]:
    """Return what a command is put behind, so that it has no network: a namespace of its own, where that is allowed."""
    alone = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and not subprocess.run([*alone, "true"], capture_output=True).returncode:
        return alone
    print("unshare is not allowed here: the network is cut off by proxies that lead nowhere")
    return []


def main() -> None:
    """Run all of them and exit with what is wrong."""
    wrong = []
    alone = offline()
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")}
    for paper, arguments in SYSTEMS.items():
        with tempfile.TemporaryDirectory() as folder:
            private = {"ACCELSIM_DATA": f"{folder}/none", "XDG_CACHE_HOME": f"{folder}/cache", "HOME": folder}
            private["NUMBA_CACHE_DIR"] = f"{folder}/kernels"
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            command = [*alone, sys.executable, "-P", "-m", "accelsim", "run", *arguments, "--out", f"{folder}/run"]
            done = subprocess.run(
                command, cwd=folder, env={**os.environ, **nowhere, **private}, capture_output=True, text=True
            )
            wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            if done.returncode:
                wrong.append(f"{paper}: exit {done.returncode}\n{done.stderr}")
                continue
            result = json.loads((Path(folder) / "run/result.json").read_text())
        scored, asked = result["accuracy"], result["instead_of"]
        if scored is None or not scored["low"] <= scored["value"] <= scored["high"]:
            wrong.append(f"{paper}: no score with an interval, {scored}")
            continue
        if asked is not None and f"accelsim data get {asked.partition('/')[0]}" not in done.stdout:
            wrong.append(f"{paper}: nothing says how to get {asked}\n{done.stdout}")
        print(
            f"{paper}: {wall:.0f} s ({cpu:.0f} s of processor); "
            f"{scored['metric']} {scored['value']:.2f} {scored['unit']}, "
            f"{scored['low']:.1f} to {scored['high']:.1f}, {scored['n']} {scored['counted']} of {scored['dataset']}"
        )
        if wall > SECONDS:
            print(f"  longer than {SECONDS} s, with {cpu / wall:.1f} cores at work")
        if min(wall, cpu) > SHARED * SECONDS:
            wrong.append(f"{paper}: took {wall:.0f} s, more than {SHARED * SECONDS:g} s")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
