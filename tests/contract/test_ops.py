"""What every op promises, whatever it is: asked of each one that is registered, in several forms."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from bounded import in_a_child

from accelsim.errors import InputError
from accelsim.ops.graph import Graph, GraphError
from accelsim.ops.op import FEATURES, OPS, Edge
from accelsim.schema import json_schema, parse, parse_yaml
from accelsim.testing import OpCase, OpContract

REAL, BANDS = Edge(6), Edge(12, 4)
CODES = Edge(6, kind="codes", bits=8, scale=0.03125, zero_point=80)
CODE_BANDS = Edge(12, 4, kind="codes", bits=8, scale=0.03125, zero_point=80)
SUMS = Edge(5, kind="codes", bits=32)
QUANTISED = Edge(6, kind="codes", bits=8, scale=0.0625, zero_point=-3, full_range=True)
QUANTISED_BANDS = Edge(12, 4, kind="codes", bits=8, scale=0.0625, zero_point=127, full_range=True)
FEATURE_CODES = Edge(12, 4, kind="codes", bits=8, scale=0.05, zero_point=99, unsigned=True)
WIDE = Edge(6, kind="codes", bits=16, scale=0.001, zero_point=-300, full_range=True)
SPIKES, TWO_STEPS = Edge(6, kind="spikes", bits=1), Edge(6, kind="spikes", bits=1, steps=2)
DISTANCES = Edge(6, distances=True)
X = {"input": "x"}
H = {"scale": 0.0078125, "zero_point": -4}


def each(keys: dict[str, object], *edges: Edge) -> list[OpCase]:
    """Return the same form of an op on several edges."""
    return [OpCase({**X, **keys}, {"x": edge}) for edge in edges]


ROUNDINGS = ("double_away", "double_up", "single", "half_even")
OUTPUTS: list[dict[str, object]] = [
    {"scale": 0.0703125, "zero_point": 5}, {"scale": 0.0625, "zero_point": -128, "low": -128},
    {"scale": 0.0234375, "zero_point": -11, "low": -11, "high": 100}, {"scale": 0.0009765625, "bits": 16},
]  # fmt: skip


def integers(keys: dict[str, object], *edges: Edge) -> list[OpCase]:
    """Return an op that computes integers, with each of the outputs and roundings, the edges in turn."""
    return [
        OpCase({**X, **keys, "output": output, "rounding": ROUNDINGS[place]}, {"x": edges[place % len(edges)]})
        for place, output in enumerate(OUTPUTS)
    ]


def weighted(keys: dict[str, object], *edges: Edge) -> list[OpCase]:
    """Return an op with weights of all kinds on several edges."""
    bits = [case for b in (1, 3, 8, 16) for case in each({**keys, "weight_bits": b}, *edges)]
    return bits + each({**keys, "gives": "codes", "input_bits": 5, "input_scale": 0.25, "input_offset": 20}, *edges)


HALF_EVEN: dict[str, object] = {"rounding": "half_even", "output": {"scale": 0.0390625, "zero_point": -7}}


def function(scale: float, zero: int, **keys: object) -> list[OpCase]:
    """Return a function of codes in fixed point, by a table, and in float32."""
    output = {"scale": scale, "zero_point": zero}
    kinds = zip(ROUNDINGS[:3], (QUANTISED_BANDS, FEATURE_CODES, QUANTISED_BANDS), strict=True)
    fixed = [OpCase({**X, **keys, "output": output, "rounding": how}, {"x": edge}) for how, edge in kinds]
    return fixed + each({**keys, **HALF_EVEN}, QUANTISED, WIDE)


def two(keys: dict[str, object], first: str, second: str, a: Edge, b: Edge) -> list[OpCase]:
    """Return an op on codes of two kinds, with each of the outputs and roundings."""
    return [
        OpCase({**keys, first: "x", second: "y", "output": output, "rounding": ROUNDINGS[place]}, {"x": a, "y": b})
        for place, output in enumerate(OUTPUTS)
    ]


def pooled(size: list[int], edge: Edge, zero: int) -> list[OpCase]:
    """Return a pool of codes, which keep their scale."""
    output = {"scale": edge.scale, "zero_point": zero, "low": -100}
    return each({"size": size, "output": output}, edge) + each({"size": size, **HALF_EVEN}, edge)


CASES = {
    **{name: each({}, REAL, CODES, BANDS) for name in ("silu", "gelu", "glu", "layer_norm")},
    "relu": [*each({}, REAL, CODES, BANDS), *integers({}, QUANTISED, FEATURE_CODES, WIDE)],
    "sigmoid": [*each({}, REAL, CODES, BANDS), *function(2.0**-8, -128)],
    "tanh": [*each({}, REAL, CODES, BANDS), *function(2.0**-7, 0)],
    "add": [
        OpCase({"input": "x", "residual": "y", "factor": 0.5}, {"x": REAL, "y": CODES}),
        *two({}, "input", "residual", QUANTISED_BANDS, FEATURE_CODES), *two({}, "input", "residual", QUANTISED, WIDE),
    ],
    "multiply": [
        OpCase({"input": "x", "by": "y"}, {"x": BANDS, "y": CODE_BANDS}),
        *two({}, "input", "by", QUANTISED_BANDS, FEATURE_CODES), *two({}, "input", "by", QUANTISED, WIDE),
    ],
    "softmax": [
        *each({}, REAL, CODES, BANDS), *each({"of": "width"}, BANDS, CODE_BANDS),
        *function(2.0**-8, -128), *function(2.0**-8, -128, of="width"),
    ],
    "concat": [
        OpCase({"inputs": ["x", "y"]}, {"x": first, "y": second})
        for first, second in [(REAL, CODES), (BANDS, Edge(8, 4)), (CODES, CODES), (BANDS, REAL), (CODE_BANDS, BANDS)]
    ],
    "affine": [*each({}, REAL, CODES, BANDS), *each({"output": {"scale": 0.05, "zero_point": 3}}, REAL, CODES)],
    "clip": [
        *each({"low": -0.5, "high": 1.5}, REAL, CODES),
        *each({"high": 0.75}, BANDS),
        *each({"low": 0.0, "output": {"scale": 0.05, "zero_point": -90}}, CODES),
    ],
    "leaky_relu": [
        *each({"slope": 0.2}, REAL, CODES, BANDS),
        *each({"output": {"scale": 0.05, "zero_point": -20}}, CODES),
    ],
    "sqrt": each({}, REAL, CODES),
    "gather": [
        *each({"ranges": [[4, 1, -1], [2, 5, 2], [0, 1, 1]]}, REAL, CODES),
        *each({"ranges": [[0, 12, 3], [11, 3, -2]], "bands": 4}, BANDS, CODE_BANDS),
    ],
    "slice": [
        *each({"begin": 1, "end": 4}, REAL, CODES, BANDS),
        *each({"begin": 1, "of": "channels"}, BANDS, CODE_BANDS),
        *each({"end": 2, "of": "channels"}, REAL),
    ],
    **{name: [*each({"size": [2, 1]}, REAL, CODES), *each({"size": [3, 2]}, BANDS, CODE_BANDS),
            *pooled([2, 3], QUANTISED_BANDS, 127), *pooled([1, 4], FEATURE_CODES, -29)]
       for name in ("max_pool", "avg_pool")},
    "mean": [
        *each({"size": [2, 1]}, REAL, CODES), *each({"size": [3, 2]}, BANDS, CODE_BANDS),
        *integers({"size": [2, 3]}, QUANTISED_BANDS), *integers({"size": [3, 1], "centred": False}, FEATURE_CODES),
    ],
    "linear": [
        *weighted({"outputs": 5}, REAL, CODES),
        OpCase(
            {"input": "x", "residual": "y", "outputs": 5, "gives": "codes", "output_scale": 0.25,
             "input_activation": "relu"},
            {"x": CODES, "y": SUMS},
        ),
        OpCase({"input": "x", "outputs": 4}, {"x": DISTANCES}),
        *integers({"outputs": 5}, QUANTISED, FEATURE_CODES),
    ],
    "depthwise": [
        *(case for taps, dilation, causal in [(3, 1, False), (4, 1, False), (2, 3, False), (3, 2, True)]
          for case in weighted({"taps": taps, "dilation": dilation, "causal": causal}, REAL, CODES)),
        *integers({"taps": 4}, QUANTISED, FEATURE_CODES),
        *integers({"taps": 3, "dilation": 2, "causal": True}, FEATURE_CODES, QUANTISED),
    ],
    "conv": [
        *weighted({"channels": 4}, BANDS, CODE_BANDS),
        *weighted({"channels": 4, "kernel": [4, 2], "stride": [2, 1]}, BANDS),
        *weighted({"channels": 4, "kernel": [2, 3], "dilation": [3, 2], "stride": [1, 2]}, BANDS),
        *weighted({"channels": 4, "kernel": [3, 1], "dilation": [2, 1], "causal": True, "bands": 1}, CODES),
        *weighted({"channels": 3, "kernel": [4, 3], "stride": [3, 2], "depthwise": True}, BANDS, CODE_BANDS),
        *each({"channels": 4, "kernel": [3, 2], "stride": [2, 1], "padding": [[1, 2], [0, 1]]}, BANDS),
        *each({"channels": 6, "depthwise": True, "padding": [[0, 0], [2, 0]], "dilation": [1, 2], "weight_bits": 16},
              BANDS),
        *integers({"channels": 4, "kernel": [3, 2], "stride": [2, 1], "padding": [[1, 2], [0, 1]]}, FEATURE_CODES),
        *integers({"channels": 6, "depthwise": True, "padding": [[2, 0], [0, 0]]}, QUANTISED_BANDS, FEATURE_CODES),
        *integers({"channels": 5, "kernel": [2, 4], "dilation": [2, 1]}, QUANTISED_BANDS),
    ],
    "quantise": integers({}, REAL, QUANTISED, FEATURE_CODES, WIDE),
    "dequantise": each({}, CODES, QUANTISED, FEATURE_CODES, WIDE),
    "stack": [
        case for rows, hop, padding in [(3, 3, 0), (3, 1, 2), (2, 3, 1), (4, 2, 1)]
        for case in each({"rows": rows, "hop": hop, "padding": padding}, BANDS, QUANTISED_BANDS, FEATURE_CODES)
    ],
    "positions": [OpCase({"width": 6}, {"rows": REAL}), OpCase({"width": 5, "reach": 4}, {"rows": REAL})],
    "attention": [
        *each({"heads": 2}, BANDS, CODE_BANDS),
        *each({"heads": 2, "chunk": 3, "left": 4}, BANDS),
        OpCase({"input": "x", "heads": 3, "positions": "p"}, {"x": Edge(18), "p": DISTANCES}),
        OpCase({"input": "x", "heads": 1, "positions": "p", "chunk": 2, "left": 2}, {"x": Edge(18), "p": DISTANCES}),
    ],
    "s4d": [
        OpCase({**X, "kernels": 6, "states": 3, "weight_bits": bits, "scale": 0.5, "output_gain": 0.5,
                "input_offset": 80}, {"x": edge})
        for bits in (1, 4) for edge in (CODES, Edge(1, kind="codes", bits=8, zero_point=80))
    ],
    "lif": [
        OpCase({"input": name, "neurons": 4, "beta": 0.75, "threshold": 6, "reset": reset, **more}, {name: edge})
        for name, edge, reset, more in [
            (FEATURES, CODES, "zero", {"weight_bits": 1}),
            ("x", SPIKES, "subtract", {"weight_bits": 4, "membrane_carry": False}),
            ("x", TWO_STEPS, "zero", {"recurrent": False, "refractory": 2, "synapse_beta": 0.5}),
            ("x", TWO_STEPS, "subtract", {"delays": 3, "input_shift": -1, "recurrent_shift": 1}),
            ("x", Edge(4, kind="codes", bits=32), "zero", {"feedforward": False, "input_shift": -3}),
            (FEATURES, SPIKES, "subtract", {"strict": True, "synapse_beta": 0.5, "current": "old", "euler": True}),
            ("x", TWO_STEPS, "zero", {"beta": "per_neuron", "threshold": "per_neuron", "euler": True}),
            ("x", SPIKES, "zero", {"beta": "per_neuron", "synapse_beta": "per_neuron", "synapse_beta_bits": 5}),
        ]
    ],
    "spike_sum": [
        case for edge in (SPIKES, TWO_STEPS) for more in ({}, {"beta": 0.5}, {"beta": 0.75, "carry": True})
        for case in each({"neurons": 3, "weight_bits": 4, **more}, edge)
    ],
    "lstm": [
        *each({"units": 4, "weight_bits": 16}, REAL, CODES, BANDS), *each({"units": 4, "weight_bits": 32}, REAL),
        *[case for place, how in enumerate(ROUNDINGS) for gates in ("interpolated", "fixed_point")
          for case in each({"units": 4, "output": H, "cell": {"scale": 2.0 ** (place - 14), "clip": 2.0},
                            "gates": gates, "rounding": how}, (QUANTISED, FEATURE_CODES)[place % 2])],
    ],
    "gru": [
        case for after in (True, False) for more, edges in (
            ({"weight_bits": 16}, (REAL, CODES)), ({"weight_bits": 32}, (BANDS,)),
            *[({"output": H, "rounding": how}, (QUANTISED,)) for how in ROUNDINGS],
            ({"output": H, "gates": "fixed_point"}, (FEATURE_CODES,)),
        ) for case in each({"units": 4, "reset_after": after, **more}, *edges)
    ],
    "delta_gru": [
        case for thresholds in ({"threshold": 0.0}, {"threshold": 0.5, "state_threshold": 0.02})
        for more, edges in (({"weight_bits": 16}, (REAL, CODES)), ({"output": H}, (QUANTISED, FEATURE_CODES)))
        for case in each({"units": 5, **thresholds, **more}, *edges)
    ],
    "conformer": [
        OpCase({"input": FEATURES, "blocks": 1, "width": 6, "heads": 2, "feed_forward": 5, "kernel": 3,
                "positions": positions, **more}, {FEATURES: REAL})
        for positions, more in [("none", {}), ("relative", {"chunk": 2, "left": 3})]
    ],
}  # fmt: skip


class TestOps(OpContract):
    cases = CASES


def test_every_op_is_tested() -> None:
    assert set(CASES) == {name for name, entry in OPS.items() if entry.__module__.startswith("accelsim.")}


SIZES = (10**6, 10**9, 10**30)
Path = tuple[Any, ...]


def whole_numbers(name: str, keys: Any, path: Path = ()) -> Iterator[Path]:
    """Yield where whole numbers stand in the keys of an op, and where more might."""
    for key, value in keys.items() if isinstance(keys, dict) else enumerate(keys):
        if isinstance(value, dict | list):
            yield from whole_numbers(name, value, (*path, key))
        elif isinstance(value, int) and not isinstance(value, bool):
            yield (*path, key)
    if not path:
        known = json_schema(OPS[name])["properties"]
        yield from ((key,) for key, rule in known.items() if key not in keys and '"integer"' in json.dumps(rule))


def with_value(keys: dict[str, Any], path: Path, value: int) -> dict[str, Any]:
    changed = copy.deepcopy(keys)
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def built(name: str, keys: dict[str, Any], read: dict[str, Edge]) -> str:
    """Read an op, put it into a graph whose features take the place of all that it reads, and draw its tensors."""
    features = next(iter(read.values()))
    try:
        entry = parse(OPS[name], parse_yaml(json.dumps({**keys, "name": "tested", "op": name})))
        graph = Graph.of([entry], features)
        graph.check_sizes()
        for place, op in enumerate(graph.ops):
            op.generated(graph.read(op), 1.0, np.random.default_rng(place), last=False)
            op.products(graph.read(op), graph.edges[op.name])
    except (InputError, GraphError) as error:
        return str(error)
    return "drawn"


def on_features(keys: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of an op with every edge that it reads replaced by the features."""
    return {
        key: FEATURES if value in ("x", "y") else [FEATURES] * len(value) if key == "inputs" else value
        for key, value in keys.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_every_size_of_every_op(name: str) -> None:
    tried = {}
    for case in CASES[name]:
        for path in whole_numbers(name, dict(case.keys)):
            if (path, edge := next(iter(case.read.values())).kind) not in tried:
                tried[path, edge] = case
    assert tried or name not in ("linear", "conv", "conformer")

    works = {
        f"{path} {size}": partial(built, name, with_value(on_features(dict(case.keys)), path, size), case.read)
        for (path, _), case in tried.items()
        for size in SIZES
    }
    said = in_a_child(works)
    if name == "linear":
        wanted = "more than 100,000,000 values in a tensor: a row of layer 'tested'"
        assert said["('outputs',) 1000000000"] == wanted
    if name == "conformer":
        assert said["('blocks',) 1000000000"] == "more than 10,000 ops"
