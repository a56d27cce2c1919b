"""Export the quantised networks of train.py as integers and scales, and measure them on accelsim's kernels.

    python export.py --work W           # writes beside this file, prints the README's table

Phones are read off the best path, without a language model.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / "conformer_an4")]

from measure import command_line

if __name__ == "__main__":
    command_line(__doc__, Path(__file__).parent, lambda stem: None if stem.endswith("_float") else stem)
