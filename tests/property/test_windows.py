"""Windows of frames as tokens against a plain loop, and the room that channels need, by the engine's deadlocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import DeadlockError
from accelsim.schedule.job import Job, Schedule
from accelsim.schedule.windows import Delay, FrameWindow, slots
from accelsim.simulate import Clocking, Link, simulate

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@st.composite
def windows(draw: st.DrawFn) -> FrameWindow:
    if draw(st.integers(0, 3)) == 0:
        return FrameWindow(whole=True)
    return FrameWindow(draw(st.integers(0, 4)), draw(st.integers(0, 4)), batch=draw(st.sampled_from([1, 1, 2, 3])))


def starts_of(lengths: list[int]) -> np.ndarray:
    return np.cumsum([0, *lengths])


def plain_tokens(window: FrameWindow, lengths: list[int]) -> tuple[list[int], list[int]]:
    """Walk through the frames with the tokens at hand: take up to the last that frame t reads, drop those behind it."""
    taken, freed = [], []
    for n in lengths:
        had: set[int] = set()
        gone: set[int] = set()
        for t in range(n):
            batch = range(t - t % window.batch, min(t - t % window.batch + window.batch, n))
            reads = range(n) if window.whole else range(min(batch[-1] + window.ahead + 1, n))
            taken.append(len(set(reads) - had))
            had |= set(reads)
            kept = range(n) if window.whole else range(max(batch[-1] + 1 - window.behind, 0), n)
            done = had - set(kept) if t < n - 1 else had
            freed.append(len(done - gone))
            gone |= done
    return taken, freed


@given(windows(), LENGTHS)
def test_tokens(window: FrameWindow, lengths: list[int]) -> None:
    taken, freed = window.tokens(starts_of(lengths))
    wanted = plain_tokens(window, lengths)
    assert (taken.tolist(), freed.tolist()) == wanted
    assert (np.cumsum(freed) <= np.cumsum(taken)).all()
    for first, last in pairwise(starts_of(lengths)):
        assert taken[first:last].sum() == freed[first:last].sum() == last - first


def test_tokens_by_hand() -> None:
    """Five frames, one ahead and two behind: frame 0 waits for frame 1; frame 2 is the first that lets one go.

    t       0  1  2  3  4
    has     2  3  4  5  5   taken 2 1 1 1 0
    let go  0  0  1  2  5   freed 0 0 1 1 3
    """
    taken, freed = FrameWindow(ahead=1, behind=2).tokens(np.array([0, 5]))
    assert taken.tolist() == [2, 1, 1, 1, 0] and freed.tolist() == [0, 0, 1, 1, 3]
    taken, freed = FrameWindow(whole=True).tokens(np.array([0, 3, 4]))
    assert taken.tolist() == [3, 0, 0, 1] and freed.tolist() == [0, 0, 3, 1]
    assert FrameWindow(batch=2).worked_on(np.array([0, 3, 5])).tolist() == [2, 0, 1, 2, 0]


def run(path: list[FrameWindow], lengths: list[int], capacities: dict[str, int]) -> None:
    """A source, a chain of layers with windows, and a sum of the source and the chain's end."""
    names = ["source", *(f"layer{i}" for i in range(len(path))), "sum"]
    windows = {f"layer{i}": window for i, window in enumerate(path)}
    edges = [*pairwise(names), ("source", "sum")] if path else [("source", "sum")]
    starts, jobs, links, tokens = starts_of(lengths), [], [], {}
    for name in names:
        takes = tuple(f"{a}->{b}" for a, b in edges if b == name)
        gives = tuple(f"{a}->{b}" for a, b in edges if a == name)
        jobs.append(Job(name, name, name, takes=takes, gives=gives, paced=name == "source", last=name == "sum"))
        if name in windows:
            tokens |= {(name, channel): windows[name].tokens(starts) for channel in takes}
    links = [Link(a, b, capacities[f"{a}->{b}"], 1) for a, b in edges]
    service = {(name, name): np.ones(int(starts[-1]), np.int64) for name in names}
    clocking = Clocking(dict.fromkeys(names, 1000))
    simulate(Schedule(tuple(jobs)), links, service, clocking, int(starts[-1]), tokens=tokens)


def least(path: list[FrameWindow], longest: int) -> dict[str, int]:
    names = ["source", *(f"layer{i}" for i in range(len(path))), "sum"]
    delays = {"source": Delay()}
    for i, window in enumerate(path):
        delays[f"layer{i}"] = delays[names[i]].behind(window)
    delays["sum"] = max(delays.values())
    sizes = {
        f"{names[i]}->layer{i}": slots(delays[names[i]], delays[f"layer{i}"], window, longest)
        for i, window in enumerate(path)
    }
    sizes[f"{names[-2]}->sum"] = 1
    return sizes | {"source->sum": slots(delays["source"], delays["sum"], FrameWindow(), longest)}


@settings(deadline=None)
@given(st.lists(windows(), min_size=1, max_size=3), LENGTHS)
def test_least_room_is_enough(path: list[FrameWindow], lengths: list[int]) -> None:
    """With the slots that the closed form gives, nothing waits for ever."""
    run(path, lengths, least(path, max(lengths)))


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        ([FrameWindow(ahead=2, behind=2)], "source->layer0"),
        ([FrameWindow(ahead=2, behind=2)], "source->sum"),
        ([FrameWindow(whole=True)], "source->layer0"),
        ([FrameWindow(whole=True)], "source->sum"),
        ([FrameWindow(ahead=2), FrameWindow(ahead=3)], "source->sum"),
        ([FrameWindow(ahead=1, batch=3)], "source->layer0"),
        ([FrameWindow(whole=True), FrameWindow(ahead=1)], "source->sum"),
    ],
)
def test_fewer_slots_are_a_deadlock(path: list[FrameWindow], channel: str) -> None:
    """The closed form is tight: utterances of 12 frames, longer than every window.

    Past the layers one slot may be missing: the source has given a layer its token before it waits for room there. Were
    it to give them in the other order, it would need the slot.
    """
    sizes = least(path, 12)
    run(path, [12, 12], sizes)
    missing = 2 if channel == "source->sum" else 1
    with pytest.raises(DeadlockError, match=r"waits in .* \(frame"):
        run(path, [12, 12], sizes | {channel: sizes[channel] - missing})
