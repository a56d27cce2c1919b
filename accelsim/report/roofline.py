"""The roofline of a run: how fast each layer worked against what the multipliers and the data paths allow."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.report.blocks import legible
from accelsim.report.headline import drawable
from accelsim.result import Result


@dataclass(frozen=True)
class Spot:
    """One layer on one data path.

    ``rate`` = operations / busy time of the layer's busiest component; ``roof`` = min(peak rate of the multipliers,
    intensity * ``bytes_per_s`` of the path), with intensity = operations / bytes. Rates in operations per second.
    """

    layer: str
    path: str
    operations: int
    bytes: float
    rate: float
    peak: float
    bytes_per_s: float

    @property
    def intensity(self) -> float:
        return self.operations / self.bytes

    @property
    def drawable(self) -> bool:
        """Whether it has a place on the roofline."""
        return all(map(drawable, (self.intensity, self.rate, self.peak, self.bytes_per_s, self.roof)))

    @property
    def compute_bound(self) -> bool:
        return self.peak <= self.intensity * self.bytes_per_s

    @property
    def roof(self) -> float:
        return min(self.peak, self.intensity * self.bytes_per_s)


def roofline(result: Result) -> list[Spot]:
    """Return every layer, or block of many, with multiplications on every data path it used, the busiest path first.

    See `accelsim.report.blocks.legible`; the time of a block is the sum of its layers'.

    Source: Williams, Waterman and Patterson, Roofline, CACM 2009; two operations per MAC that was performed.
    """
    if "peak" not in result.efficiency.definitions:
        return []
    peak = result.efficiency.definitions["peak"].gops * 1e9
    rates = {c.name: c.peak_bytes_per_s for c in result.components if c.peak_bytes_per_s}
    layers = legible([layer for layer in result.layers if layer.macs_performed and layer.pace_s and peak])
    seconds = {path: sum(layer.moved_bytes.get(path, 0.0) for layer in layers) / rate for path, rate in rates.items()}
    return [
        Spot(
            layer.name,
            path,
            2 * layer.macs_performed,
            layer.moved_bytes[path],
            2 * layer.macs_performed / layer.pace_s,
            peak,
            rates[path],
        )
        for path in sorted(rates, key=lambda path: -seconds[path])
        for layer in layers
        if layer.moved_bytes.get(path)
    ]
