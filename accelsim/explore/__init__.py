"""Many runs: compare with published figures."""

from accelsim.explore.comparison import Comparison, Row, compare, load_paper

__all__ = ["Comparison", "Row", "compare", "load_paper"]
