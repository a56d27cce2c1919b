"""What a planner decided for a chunk of frames, for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """What was decided for a chunk of ``chunk`` output frames, for the report; all sizes in bits.

    ``pieces``: of groups that take the chunk in several; ``spilled``: tensors in LPDDR; ``peak_bits`` of ``room_bits``:
    the most that L2 holds beside weights on their way; ``lpddr_bits``: moved by weights, spilled tensors and state;
    ``on_cpu``: layers that fall back. ``resident_bits``: of the weights, what comes once a run and stays in L2.
    """

    chunk: int
    pieces: Mapping[str, int]
    spilled: Mapping[str, int]
    weight_bits: int
    state_bits: int
    state_in_l2: bool
    peak_bits: int
    room_bits: int
    lpddr_bits: int
    on_cpu: tuple[str, ...]
    resident_bits: int = 0
