"""Many runs: compare with published figures, and chip with chip."""

from accelsim.explore.comparison import (
    ChipRow,
    Comparison,
    Row,
    compare,
    compare_all,
    compare_chips,
    load_paper,
    paper_beside,
)

__all__ = ["ChipRow", "Comparison", "Row", "compare", "compare_all", "compare_chips", "load_paper", "paper_beside"]
