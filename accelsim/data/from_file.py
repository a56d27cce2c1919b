"""Features that a user computed elsewhere, from one file of plain arrays."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from accelsim import limits
from accelsim.data.dataset import Featured
from accelsim.data.files import cuts, read_arrays
from accelsim.errors import InputError, did_you_mean

LONGEST_S = 100_000
"""Seconds of the longest utterance."""
CODES, SPIKES, STARTS, LABELS, ENDS = "codes", "spikes", "starts", "labels", "ends"


def read_features(path: Path, width: int, bits: int = 8, steps: int | None = None) -> list[Featured]:
    """Return the utterances of an .npz or .safetensors file of features.

    ``codes``: uint8 [frames, width], all utterances end to end, below 2^bits; with ``steps`` in its place ``spikes``:
    uint8 [frames, steps, width], 0 or 1; ``starts``: whole numbers [utterances + 1], where each begins and the last one
    ends, one utterance without it; ``labels``: text or whole numbers [utterances], the words that were said or the
    number of the class, if known; ``ends``: seconds into each utterance at which its speech ends, [utterances], if
    known. Raises InputError.
    """
    values, bits, shape = (CODES, bits, (width,)) if steps is None else (SPIKES, 1, (steps, width))
    found, there = read_arrays(path, (values, STARTS, LABELS, ENDS))
    if values not in found:
        raise InputError.of(f"no array '{values}'", file=path, hint=did_you_mean(values, there))
    problems = []
    codes, labels, spoken = found[values], found.get(LABELS), found.get(ENDS)
    if codes.dtype != np.uint8 or codes.ndim != 1 + len(shape) or codes.shape[1:] != shape:
        wanted = f"[frames, {', '.join(map(str, shape))}] of uint8"
        problems.append(f"'{values}': expected {wanted}, found {list(codes.shape)} of {codes.dtype}")
    elif codes.size and codes.max() >= 1 << bits:
        problems.append(
            f"'{values}': expected {'spikes, 0 or 1' if steps else f'codes of {bits} bits'}, found {codes.max()}"
        )
    ends = np.array([0, len(codes)] if codes.ndim else [0])
    if STARTS in found:
        try:
            ends = cuts(STARTS, found[STARTS], int(ends[-1]))
        except ValueError as error:
            problems.append(str(error))
    if labels is not None and (labels.dtype.kind not in "Uiu" or labels.shape != (len(ends) - 1,)):
        form = f"text or whole numbers of {len(ends) - 1} utterances"
        problems.append(f"'{LABELS}': expected {form}, found {list(labels.shape)} of {labels.dtype}")
    if spoken is not None and (
        spoken.dtype.kind != "f"
        or spoken.shape != (len(ends) - 1,)
        or not (np.abs(spoken) <= np.float64(LONGEST_S)).all()
    ):
        form = f"finite seconds of {len(ends) - 1} utterances, at most {LONGEST_S:,} each"
        problems.append(f"'{ENDS}': expected {form}, found {list(spoken.shape)} of {spoken.dtype}")
    if problems:
        raise InputError.of("; ".join(problems), file=path)
    limits.check("utterances", len(ends) - 1, file=path)
    texts = [None] * (len(ends) - 1) if labels is None else [str(label) for label in labels]
    return [
        Featured(
            name=f"{path.stem}-{number}",
            speaker="",
            codes=codes[start:end],
            phones=None if text is None else tuple(text.split()),
            text=text,
            speech_end_s=None if spoken is None else float(spoken[number]),
        )
        for number, ((start, end), text) in enumerate(zip(pairwise(ends), texts, strict=True))
    ]
