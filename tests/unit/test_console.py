"""The command line as a person meets it: what it writes to begin with, how it is told what to set, what it prints."""

from __future__ import annotations

from pathlib import Path


def test_the_commands(accelsim, tmp_path: Path) -> None:
    outcome = accelsim("new", "chip", "mine", "--from", "rsnn28nm")
    assert outcome.code == 0 and outcome.out.startswith("wrote mine.yaml: ")
    assert accelsim("new", "network", "net", "--from", "rsnn_paper_activity").code == 0
    assert accelsim("validate", "mine.yaml", "net/workload.yaml").code == 0
    ran = accelsim("run", "mine.yaml", "-w", "net", "-s", "workload.inputs.frames=20")
    assert ran.code == 0 and "net on mine" in ran.out
    again = accelsim("new", "chip", "mine", "--from", "rsnn28nm")
    assert again.code == 2 and again.err == "error: mine.yaml is there already (another name, or --out)\n"
