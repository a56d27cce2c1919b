"""Sizes of a Conformer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

POSITIONS = ("none", "relative", "relative_no_linear", "learnable", "learnable_no_linear")


@dataclass(frozen=True)
class FrontConv:
    """One convolution of the front end, over time and bands, and the maximum taken behind it.

    ``depthwise``: every channel for itself, as many as before, and no ReLU: the next one, of kernel 1 x 1, mixes them.
    """

    channels: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    pool: tuple[int, int] = (1, 1)
    depthwise: bool = False


@dataclass(frozen=True)
class Shape:
    """Sizes of a network. ``bands`` x ``planes`` inputs a frame; ``reach``: farthest learnable distance in frames.

    ``chunk``: a network that streams; its frames see those of their chunk of so many and ``left`` before the chunk, and
    the convolution modules look back alone. ``trained_chunks``: lengths of which training draws one for each batch.
    """

    bands: int
    planes: int
    classes: int
    front: tuple[FrontConv, ...]
    width: int = 144
    heads: int = 4
    feed_forward: int = 576
    kernel: int = 31
    blocks: int = 4
    position: str = "relative"
    reach: int = 256
    dropout: float = 0.1
    chunk: int | None = None
    left: int = 0
    trained_chunks: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Shape:
        """Return the shape that `to_json` wrote."""
        found = json.loads(text)
        pairs = ("kernel", "stride", "pool")
        front = (FrontConv(**{**conv, **{key: tuple(conv[key]) for key in pairs}}) for conv in found["front"])
        chunks = tuple(found.get("trained_chunks", ()))
        return cls(**{**found, "front": tuple(front), "trained_chunks": chunks})

    def to_json(self) -> str:
        """Return all sizes as text, for the header of a weights file."""
        return json.dumps(asdict(self))

    def __post_init__(self) -> None:
        if self.position not in POSITIONS:
            raise ValueError(f"unknown position '{self.position}' (one of: {', '.join(POSITIONS)})")
