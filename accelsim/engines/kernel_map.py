"""How state-space kernels lie on crossbars: whole kernels along the diagonal, the cells between them at rest."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.kernels.ssm import side


@dataclass(frozen=True)
class KernelMap:
    """Where the kernels of one layer lie: ``per_crossbar`` on each crossbar but the last, which has what is left."""

    layer: str
    kernels: int
    states: int
    rows: int
    columns: int
    first_crossbar: int = 0

    @property
    def per_crossbar(self) -> int:
        """Return min(rows, columns) // (4 states + 2)."""
        return min(self.rows, self.columns) // side(self.states)

    @property
    def crossbars(self) -> int:
        """Return ceil(kernels / per_crossbar)."""
        return -(-self.kernels // self.per_crossbar)

    def numbers(self) -> range:
        """Return the numbers of its crossbars on the chip."""
        return range(self.first_crossbar, self.first_crossbar + self.crossbars)

    @property
    def cells_written(self) -> int:
        """Return the cells that hold a weight: per state 16 of A, 8 of B and 8 of C."""
        return 32 * self.states * self.kernels

    @property
    def cells_resting(self) -> int:
        """Return the cells that are never written: they stay at the lowest conductance, and leak."""
        return self.crossbars * self.rows * self.columns - self.cells_written

    @property
    def conversions_per_step(self) -> int:
        """Return the column pairs that are converted per step: re and im of every state, and y."""
        return self.kernels * (2 * self.states + 1)

    def row(self) -> dict[str, int | str]:
        """Return the mapping as one row of a table."""
        return {
            "layer": self.layer,
            "kernels": self.kernels,
            "states": self.states,
            "side": side(self.states),
            "per crossbar": self.per_crossbar,
            "crossbars": self.crossbars,
            "written": self.cells_written,
            "resting": self.cells_resting,
            "conversions per step": self.conversions_per_step,
        }


def too_large(states: int, *, rows: int, columns: int) -> str | None:
    """Return why a kernel does not fit a crossbar of rows x columns cells, or None if it does."""
    if side(states) <= min(rows, columns):
        return None
    fit = max((min(rows, columns) - 2) // 4, 0)
    return (
        f"a kernel of {states} states needs {side(states)} x {side(states)} cells, a crossbar has {rows} x {columns}: "
        f"at most {fit} states fit"
    )


def map_kernels(layers: list[tuple[str, int, int]], *, rows: int, columns: int) -> list[KernelMap]:
    """Lay layers (name, kernels, states) onto crossbars one after the other, a layer on crossbars of its own.

    Their kernels must not be `too_large`.
    """
    placed: list[KernelMap] = []
    for name, kernels, states in layers:
        first = placed[-1].first_crossbar + placed[-1].crossbars if placed else 0
        placed.append(KernelMap(name, kernels, states, rows, columns, first))
    return placed
