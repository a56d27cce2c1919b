"""Record runs anew: ``python tests/golden/record_runs.py NAME...``, or all of `recorded_runs.CASES` without a name."""

from __future__ import annotations

import sys
import time

from recorded_runs import CASES, file_of, rerun, write


def main(names: list[str]) -> None:
    if unknown := [name for name in names if name not in CASES]:
        sys.exit(f"no such case: {', '.join(unknown)}")
    for name in names or CASES:
        start = time.process_time()
        write(name, rerun(CASES[name]))
        print(f"{name}: {time.process_time() - start:.1f} s, {file_of(name).stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
