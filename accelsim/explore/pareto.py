"""The Pareto front and the hypervolume that it dominates, exact; smaller is better in every objective."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def front(values: ArrayLike) -> NDArray[np.bool_]:
    """Return which points no other one dominates: none is at most as large everywhere and smaller somewhere.

    values: [points, objectives], finite. Equal points stay together. Returns bool [points].
    """
    points = np.asarray(values, np.float64)
    best = np.ones(len(points), bool)
    # In lexicographic order a point is dominated only by an earlier one, and then also by one of the front so far.
    order = np.lexsort(points.T[::-1])
    kept = np.empty_like(points)
    size = 0
    for i in order:
        smaller = kept[:size]
        dominated = ((smaller <= points[i]).all(axis=1) & (smaller < points[i]).any(axis=1)).any()
        best[i] = not dominated
        if not dominated:
            kept[size] = points[i]
            size += 1
    return best


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Return the volume between the points and a reference point that they are better than.

    V = |union over i of the boxes [x_i, r]|, by cutting along the last objective: between two neighbouring values of it
    the volume is its difference times the volume of the points below in the other objectives (Knowles 2002, HSO).

    values: [points, objectives]; points that do not beat the reference everywhere add nothing.
    """
    limit = np.asarray(reference, np.float64)
    points = np.asarray(values, np.float64).reshape(-1, len(limit))
    return _volume(points[(points < limit).all(axis=1)], limit)


def _volume(points: NDArray[np.float64], limit: NDArray[np.float64]) -> float:
    if not len(points):
        return 0.0
    if len(limit) == 1:
        return float(limit[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if len(limit) == 2:
        heights = limit[0] - np.minimum.accumulate(points[:, 0])
        return float((heights * np.diff(points[:, 1], append=limit[1])).sum())
    ends = np.append(points[1:, -1], limit[-1])
    return sum(
        (end - point[-1]) * _volume(points[: i + 1, :-1], limit[:-1])
        for i, (point, end) in enumerate(zip(points, ends, strict=True))
        if end > point[-1]
    )
