"""A Python process that tries the blocks of one page, one after the other, in the folder where it starts.

Reads a block as a line of JSON, {"language", "text", "place"}; answers with one, {"code", "printed"}. What a block of
Python defines is there in the next. Commands of accelsim run in this process, as the console script runs them, because
starting Python for each would take most of the time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
import traceback

sys.path.insert(0, os.getcwd())  # as of a notebook: files of the page can be imported


def command(line: str, out: io.TextIOWrapper) -> int:
    """Run a line of a shell and return its exit code."""
    if line.split()[0] != "accelsim" or any(sign in line for sign in "|>&;$"):
        out.flush()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        out.write(done.stdout + done.stderr)
        return done.returncode
    from accelsim import cli

    sys.argv = shlex.split(line, comments=True)
    try:
        cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def attempt(block: dict[str, str], names: dict[str, object], out: io.TextIOWrapper) -> int:
    """Try a block and return 0, or the exit code of the first command that failed."""
    if block["language"] == "python":
        lines = "\n" * (int(block["place"].rpartition(":")[2]) - 1)  # so that a traceback names the line of the page
        try:
            exec(compile(lines + block["text"], block["place"].rpartition(":")[0], "exec"), names)
        except BaseException:
            traceback.print_exc(file=out)
            return 1
        return 0
    for line in block["text"].replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#") and (code := command(line.strip(), out)):
            return code
    return 0


def main() -> None:
    """Answer until there is nothing more to read."""
    names: dict[str, object] = {"__name__": "__main__"}
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever writes to the descriptor itself is no answer
    for line in sys.stdin:
        held = io.BytesIO()
        out = io.TextIOWrapper(held, encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = attempt(json.loads(line), names, out)
        print(json.dumps({"code": code, "printed": held.getvalue().decode()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
