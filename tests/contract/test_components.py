"""What every kind of component promises, whatever it is: asked of each one that is registered."""

from __future__ import annotations

from accelsim.components import KINDS
from accelsim.testing import ComponentContract


class TestComponents(ComponentContract):
    names = sorted(KINDS)
