"""Many runs: compare with published figures."""

from accelsim.explore.compare import Comparison, Row, compare, load_paper

__all__ = ["Comparison", "Row", "compare", "load_paper"]
