"""Counts of state-space layers on crossbars and on an array, and of dense layers on that array, by plain loops.

Complex numbers are multiplied out term by term; nothing is taken from the engines.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from chips import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_state_space import chain, crossbars, samples, write_network

from accelsim.architecture import load_architecture
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import Activity, execute
from accelsim.workload import load_workload


def found_in(activity: Activity, frame: int) -> Counter:
    """What was counted in a frame, but for the load of the features and the power of the cells."""
    return Counter({
        (job, part, action): int(values[frame])
        for (job, part), counts in activity.counts.items()
        for action, values in counts.items()
        if job != "load" and action != "read_nanowatt" and values[frame]
    })  # fmt: skip


def products(states: int) -> list[str]:
    """The real products of one step of a kernel: x' = A x + B u, y = Re(C x), all complex but u."""
    found = []
    for state in range(states):
        for row in ("re", "im"):
            found += [f"a{state} {part} of x for {row}" for part in ("re", "im")]  # (ar + j ai)(xr + j xi)
            found.append(f"b{state} {row} times u")
        found += [f"c{state} re times x re", f"c{state} im times x im"]
    return found


@settings(max_examples=40, deadline=None)
@given(
    kernels=st.integers(1, 9), states=st.integers(1, 15), layers=st.integers(1, 2), seed=st.integers(0, 99),
    adders=st.integers(1, 5), frames=st.integers(1, 3),
)  # fmt: skip
def test_counts_on_crossbars(kernels: int, states: int, layers: int, seed: int, adders: int, frames: int) -> None:
    chip = crossbars(40, {"components.readout.units": str(adders)})
    with tempfile.TemporaryDirectory() as folder:
        workload = chain(Path(folder), kernels=kernels, states=states, layers=layers, seed=seed)
    activity = execute(deploy(workload, chip), batch_of(samples(frames), [0, frames])).activity

    expected: Counter = Counter()
    macs: Counter = Counter()
    conversions: Counter = Counter()
    number = 0
    for layer in [f"s{n}" for n in range(layers)]:
        # A kernel takes two rows for each part of each state and for its input: as many as fit a crossbar of 64 rows.
        per_crossbar = len(range(4 * states + 2, 65, 4 * states + 2))
        left = list(range(kernels))
        while left:
            here, left = left[:per_crossbar], left[per_crossbar:]
            at = f"{layer}[{number}]"
            on = {part: f"{part}[{number}]" for part in (
                "state_registers", "crossbar", "dac", "sample_hold", "adc", "output_registers"
            )}  # fmt: skip
            expected[f"{at}.read", on["crossbar"], "phases"] = 1
            expected[f"{at}.read", on["dac"], "phases"] = 1
            expected[f"{at}.read", on["sample_hold"], "phases"] = 1
            for _ in here:
                for _ in range(states):
                    for _ in ("re", "im"):
                        expected[f"{at}.drive", on["state_registers"], "read"] += 1
                        expected[f"{at}.read", on["dac"], "drive"] += len(("plus", "minus"))
                        expected[f"{at}.read", on["sample_hold"], "sample"] += 1
                        expected[f"{at}.convert", on["adc"], "convert"] += 1
                        expected[f"{at}.latch", on["state_registers"], "write"] += 1
                        conversions[layer] += 1
                expected[f"{at}.drive", on["state_registers"], "write"] += 1  # the input
                expected[f"{at}.read", on["dac"], "drive"] += len(("plus", "minus"))
                expected[f"{at}.read", on["sample_hold"], "sample"] += 1  # the output
                expected[f"{at}.convert", on["adc"], "convert"] += 1
                expected[f"{at}.output", on["output_registers"], "write"] += 1
                conversions[layer] += 1
                macs[f"{at}.read"] += frames * len(products(states))
            number += 1
    last = f"s{layers - 1}.readout"
    for _ in range(kernels):
        expected[last, "readout", "add"] += 1
        expected[last, "readout", "write"] += 1
    expected[last, "readout", "groups"] = len(range(0, kernels, adders))
    for frame in range(frames):
        assert found_in(activity, frame) == expected
    assert {job: found["dense"] for job, found in activity.macs.items()} == macs
    assert {job: found["performed"] for job, found in activity.macs.items()} == macs
    assert {layer: made for layer, (made, _) in activity.conversions.items()} == {
        layer: frames * made for layer, made in conversions.items()
    }
    # A real product takes four cells, a row and a column of either sign; ideal ones take a pulse each, others rest.
    cells = sum(len(("++", "+-", "-+", "--")) for _ in range(layers * kernels) for _ in products(states))
    assert activity.programming == {"cells": number * 64 * 64, "write_pulses": cells}


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 6), states=st.integers(1, 6), layers=st.integers(1, 2), rows=st.integers(1, 5),
    columns=st.integers(1, 5), memory=st.sampled_from(["registers", "sram"]), width=st.sampled_from([8, 24, 64]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_counts_on_an_array(
    channels: int, states: int, layers: int, rows: int, columns: int, memory: str, width: int, seed: int
) -> None:
    """An encoder of three features, then layers of kernels, each with a matrix after it whose sums are added to."""
    weights = "{kind: register_file, stores: weights, entries: 9999, width_bits: 4}"
    if memory == "sram":
        weights = f"{{kind: sram, stores: weights, rows: 9999, width_bits: {width}, banks: 2}}"
    chip = load_architecture(
        "s4d_digital28",
        {
            "components.weights": weights, "components.state_registers.entries": "999",
            "components.input_buffer.entries": "3", "components.array.rows": str(rows),
            "components.array.columns": str(columns), "components.array.accumulator_bits": "32",
            "pacing.mode": "back_to_back", "components.readout.width_bits": "32",
        },
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        workload = load_workload(
            write_network(Path(folder), channels=channels, states=states, bits=4, layers=layers, seed=seed)
        )
    features = np.random.default_rng(seed).integers(0, 256, (2, 3)).astype(np.uint8)
    activity = execute(deploy(workload, chip), batch_of(features, [0, 2])).activity

    expected: Counter = Counter()
    macs: Counter = Counter()

    def matrix(job: str, inputs: int, outputs: int, added: int) -> None:
        for _ in range(inputs):
            for _ in range(outputs):
                expected[job, "array", "mac"] += 1
        expected[job, "array", "add"] += added
        expected[job, "array", "blocks"] += len(range(0, inputs, rows)) * len(range(0, outputs, columns))
        read(job, inputs * outputs)

    def read(job: str, values: int) -> None:
        """Weights of four bits: one a register, or as many as fit a word of one of two banks."""
        words = values if memory == "registers" else len(range(0, values * 4, width))
        expected[job, "weights", "read"] += words
        if memory == "sram":
            expected[job, "weights", "bank_accesses"] += len(range(0, words, 2))

    matrix("encoder.multiply", 3, channels, 0)
    for n in range(layers):
        job = f"s{n}.multiply"
        for _ in range(channels):
            for _ in products(states):
                expected[job, "array", "mac"] += 1
            for _ in range(states):
                for _ in ("re", "im"):
                    expected[job, "state_registers", "read"] += 1
                    expected[job, "state_registers", "write"] += 1
        expected[job, "array", "blocks"] = len(range(0, expected[job, "array", "mac"], rows * columns))
        read(job, channels * states * len(("ar", "ai", "br", "bi", "cr", "ci")))
        matrix(f"m{n}.multiply", channels, channels, channels)
    for action in ("add", "write"):
        expected[f"m{layers - 1}.readout", "readout", action] = channels
    expected[f"m{layers - 1}.readout", "readout", "groups"] = channels  # one adder
    for frame in range(2):
        assert found_in(activity, frame) == +expected
    for (job, part, action), count in expected.items():
        if (part, action) == ("array", "mac"):
            macs[job] = 2 * count
    assert {job: found["dense"] for job, found in activity.macs.items()} == macs
