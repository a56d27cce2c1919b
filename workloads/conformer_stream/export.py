"""Export the networks of train.py, float16 and 8-bit, and measure them on accelsim's kernels.

    python export.py --work W           # writes beside this file, prints the README's table

Phones are read off the best path, without a language model. Networks in float are measured in float32 with the float16
weights that are written here.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("conformer_ls", "conformer_an4")]

from measure import command_line

if __name__ == "__main__":
    command_line(__doc__, Path(__file__).parent, lambda stem: stem.replace("_float", "_16"))
