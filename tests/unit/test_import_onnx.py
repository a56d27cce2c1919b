"""ONNX files become workloads: the same integers as onnxruntime, floats within rounding, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models
from onnx_models import model, node

from accelsim.errors import InputError
from accelsim.importers.importer import import_model, size_of
from accelsim.importers.onnx import lowering
from accelsim.importers.onnx.values import Value
from accelsim.ops.op import FEATURES

FRAMES, BANDS = 12, 8
RANDOM = np.random.default_rng(17)


def weights(*shape: int, low: int = -63, high: int = 63) -> NDArray[np.int8]:
    """Return int8 weights; with unsigned activations larger ones saturate 16-bit sums in onnxruntime without VNNI."""
    return RANDOM.integers(low, high + 1, shape).astype(np.int8)


class Quantised:
    """A network of QuantizeLinear and DequantizeLinear as it grows."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind, self.nodes, self.constants = kind, list[Any](), dict[str, NDArray[Any]]()
        self.scales: dict[str, tuple[float, int]] = {}

    def constant(self, name: str, value: Any, dtype: Any = None) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def quantise(self, real: str, code: str, scale: float, zero: int) -> str:
        """Add QuantizeLinear, and return the real number that DequantizeLinear makes of its codes."""
        low = np.iinfo(self.kind).min
        s = self.constant(f"{code}_s", scale, np.float32)
        z = self.constant(f"{code}_z", zero + 128 + low, self.kind)
        self.nodes += [
            node("QuantizeLinear", f"{real} {s} {z}", f"{code}_q"),
            node("DequantizeLinear", f"{code}_q {s} {z}", code, f"{code}_dq"),
        ]
        return code

    def weight(self, name: str, codes: NDArray[np.int8], scale: Any, axis: int) -> str:
        self.constant(f"{name}_q", codes)
        s = self.constant(f"{name}_s", scale, np.float32)
        zero = np.zeros(np.shape(scale), np.int8)
        z = self.constant(f"{name}_z", zero)
        self.nodes.append(node("DequantizeLinear", f"{name}_q {s} {z}", name, axis=axis))
        return name

    def bias(self, name: str, codes: NDArray[np.int32], scale: Any) -> str:
        self.constant(f"{name}_q", codes, np.int32)
        s = self.constant(f"{name}_s", scale, np.float32)
        z = self.constant(f"{name}_z", np.zeros(np.shape(scale)), np.int32)
        self.nodes.append(node("DequantizeLinear", f"{name}_q {s} {z}", name, axis=0))
        return name


KINDS = pytest.mark.parametrize("kind", [np.int8, np.uint8], ids=["int8", "uint8"])


def check(
    tmp_path: Path, made: Any, shape: list[Any], *, time_axis: int = 2, clips: int = 6, exact_notes: bool = True
) -> Any:
    """Import a network; its outputs are onnxruntime's, bit for bit, by the ops' references."""
    workload = models.imported(made, tmp_path, time_axis=time_axis)
    width = workload.graph.edges[FEATURES].width
    codes = RANDOM.integers(0, 256, (clips * FRAMES, width)).astype(np.uint8)
    starts = [FRAMES * clip for clip in range(clips + 1)]
    out = models.reference_values(workload, codes, starts)[workload.graph.last.name]
    x = models.real_features(workload, codes)
    got = out.reals().reshape(clips, -1, out.edge.width)
    for clip in range(clips):
        size = [1 if not isinstance(one, int) else one for one in shape]
        size[time_axis] = FRAMES
        wanted = models.oracle(tmp_path / "model.onnx", x[clip * FRAMES : (clip + 1) * FRAMES], time_axis, size)
        rows = got[clip]
        if len(rows) > 1:
            place = next(at for at, one in enumerate(wanted.shape) if one == len(rows))
            wanted = np.moveaxis(wanted, place, 0)
        np.testing.assert_array_equal(rows, wanted.reshape(rows.shape))
    assert len(np.unique(got)) > 20, "outputs that hardly change prove nothing"
    if exact_notes:
        assert "| approximate |" not in (tmp_path / "net" / "import.md").read_text()
    return workload


@KINDS
def test_convolution_network(tmp_path: Path, kind: type[Any]) -> None:
    """Scales per channel, zero points, fused clamps, depthwise, strides, padding on one side, a dense layer."""
    net = Quantised(kind)
    net.quantise("x", "a", 0.05, 10)
    s1 = RANDOM.uniform(0.001, 0.004, 6).astype(np.float32)
    net.weight("w1", weights(6, 1, 3, 3), s1, 0)
    net.bias("b1", RANDOM.integers(-3000, 3000, 6), np.float32(0.05) * s1)
    net.nodes += [node("Conv", "a w1 b1", "c1", pads=[2, 0, 0, 1], strides=[1, 2]), node("Relu", "c1", "r1")]
    net.quantise("r1", "d1", 0.03, -128)
    net.weight("w2", weights(6, 1, 3, 3), 0.0123, 0)
    net.constant("zero", 0.0, np.float32)
    net.constant("six", 1.0, np.float32)
    net.nodes += [
        node("Conv", "d1 w2", "c2", group=6, pads=[1, 1, 1, 1], dilations=[1, 1]),
        node("Clip", "c2 zero six", "r2"),
    ]
    net.quantise("r2", "d2", 0.0047, -128)
    net.weight("w3", weights(4, 6, 1, 1), RANDOM.uniform(0.002, 0.01, 4), 0)
    net.nodes += [node("Conv", "d2 w3", "c3")]
    net.quantise("c3", "d3", 0.011, 5)
    net.nodes += [node("Flatten", "d3", "flat")]
    net.weight("w4", weights(7, FRAMES * 4 * 4), RANDOM.uniform(0.002, 0.01, 7), 0)
    net.bias("b4", RANDOM.integers(-3000, 3000, 7), np.float32(0.011) * net.constants["w4_s"])
    net.nodes += [node("Gemm", "flat w4 b4", "g", transB=1)]
    net.quantise("g", "y", 0.02, 3)
    shape = [1, 1, FRAMES, BANDS]
    workload = check(tmp_path, model(net.nodes, net.constants, shape), shape)
    assert workload.spec.rounding == "half_even"
    # Multiply-accumulates of a clip by hand: taps x inputs x positions x rows of each layer.
    bands = 4
    macs = FRAMES * bands * (6 * 9 + 6 * 9 + 6 * 4) + 7 * FRAMES * 4 * 4
    assert size_of(workload.graph, workload.tensors).macs == macs
    parameters = sum(c.size for name, c in net.constants.items() if name[0] in "wb" and name.endswith("_q"))
    assert size_of(workload.graph, workload.tensors).parameters == parameters


def test_operators_on_integers(tmp_path: Path) -> None:
    """QLinearConv and QLinearMatMul are read as DequantizeLinear, the operator, QuantizeLinear."""
    constants: dict[str, Any] = {
        "xs": np.float32(0.05), "xz": np.uint8(140), "w": weights(4, BANDS, 3),
        "ws": RANDOM.uniform(0.001, 0.004, 4).astype(np.float32), "wz": np.zeros(4, np.int8),
        "cs": np.float32(0.013), "cz": np.uint8(120), "b": RANDOM.integers(-3000, 3000, 4).astype(np.int32),
        "m": weights(4, 5), "ms": np.float32(0.01), "mz": np.int8(0), "ys": np.float32(0.02), "yz": np.uint8(99),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x xs xz", "q"),
        node("QLinearConv", "q xs xz w ws wz cs cz b", "c", pads=[2, 0]),
        node("Transpose", "c", "t", perm=[0, 2, 1]),
        node("QLinearMatMul", "t cs cz m ms mz ys yz", "p"),
        node("DequantizeLinear", "p ys yz", "y"),
    ]
    check(tmp_path, model(nodes, constants, [1, BANDS, FRAMES]), [1, BANDS, FRAMES])


def small(kind: type[Any], *, low: float = 0.04) -> Quantised:
    """Return a network whose input is quantised as 'a', scale 0.04 and zero point 7."""
    net = Quantised(kind)
    net.quantise("x", "a", low, 7)
    return net


def _sum(net: Quantised) -> str:
    net.nodes.append(node("Sigmoid", "a", "s"))
    net.quantise("s", "ds", 1 / 256, -128)
    net.nodes.append(node("Add", "a ds", "o"))
    return "o"


def _product(net: Quantised) -> str:
    net.nodes.append(node("Tanh", "a", "t"))
    net.quantise("t", "dt", 1 / 128, 0)
    net.nodes.append(node("Mul", "dt a", "o"))
    return "o"


def _one(op: str, **attributes: Any) -> Any:
    def build(net: Quantised) -> str:
        net.nodes.append(node(op, "a", "o", **attributes))
        return "o"

    return build


def _with(op: str, value: Any, **attributes: Any) -> Any:
    def build(net: Quantised) -> str:
        net.constant("k", value, np.float32)
        net.nodes.append(node(op, "a k", "o", **attributes))
        return "o"

    return build


def _pieces(net: Quantised) -> str:
    """Parts of the channels, one of them of another scale, in another order."""
    net.constant("parts", [3, 5], np.int64)
    for name, value in (("from", [1]), ("to", [4]), ("axis", [1])):
        net.constant(name, value, np.int64)
    net.nodes += [
        node("Split", "a parts", "p q", axis=1), node("Relu", "q", "r"),
    ]  # fmt: skip
    net.quantise("r", "dr", 0.021, -100)
    net.nodes += [node("Slice", "dr from to axis", "u"), node("Concat", "u p dr", "o", axis=1)]
    return "o"


def _moves(net: Quantised) -> str:
    """Reshape, Transpose, Squeeze and Unsqueeze, and codes between them that stay as they are."""
    net.constant("shape", [1, 4, 2, FRAMES], np.int64)
    net.constant("back", [1, BANDS, FRAMES], np.int64)
    net.constant("axes", [0], np.int64)
    net.nodes += [
        node("Reshape", "a shape", "m1"), node("Transpose", "m1", "m2", perm=[0, 2, 1, 3]),
        node("Squeeze", "m2 axes", "m3"),
    ]  # fmt: skip
    net.quantise("m3", "m4", 0.04, 7)
    net.nodes += [node("Unsqueeze", "m4 axes", "m5"), node("Reshape", "m5 back", "o")]
    return "o"


def _clamp(net: Quantised) -> str:
    net.constant("low", -1.0, np.float32)
    net.constant("high", 1.7, np.float32)
    net.nodes.append(node("Clip", "a low high", "o"))
    return "o"


def _norm(net: Quantised) -> str:
    net.constant("gain", RANDOM.uniform(0.5, 1.5, BANDS), np.float32)
    net.constant("shift", RANDOM.uniform(-1, 1, BANDS), np.float32)
    net.nodes += [
        node("Transpose", "a", "t", perm=[0, 2, 1]), node("LayerNormalization", "t gain shift", "o", axis=-1),
    ]  # fmt: skip
    return "o"


VECTOR_OPS = {
    "add": (_sum, 0.05), "multiply": (_product, 0.04), "relu": (_one("Relu"), 0.03), "clip": (_clamp, 0.015),
    "leaky": (_one("LeakyRelu", alpha=0.2), 0.04), "larger": (_with("Max", -0.7), 0.04),
    "sigmoid": (_one("Sigmoid"), 1 / 256), "tanh": (_one("Tanh"), 1 / 128),
    "softmax": (_one("Softmax", axis=1), 1 / 256),
    "average": (_one("AveragePool", kernel_shape=[3], strides=[3]), 0.03),
    "largest": (_one("MaxPool", kernel_shape=[2], strides=[2]), 0.04),
    "all of time": (_one("GlobalAveragePool"), 0.013), "mean of channels": (_one("ReduceMean", axes=[1]), 0.02),
    "add a constant": (_with("Add", RANDOM.uniform(-2, 2, (BANDS, 1))), 0.05),
    "times a constant": (_with("Mul", RANDOM.uniform(-2, 2, (BANDS, 1))), 0.07),
    "pieces": (_pieces, 0.025), "moves": (_moves, 0.04), "moves to other codes": (_moves, 0.033),
    "norm": (_norm, 0.02),
}  # fmt: skip


@KINDS
@pytest.mark.parametrize("name", VECTOR_OPS)
def test_op_between_codes(tmp_path: Path, kind: type[Any], name: str) -> None:
    """Each op between QuantizeLinear and DequantizeLinear gives onnxruntime's codes."""
    build, scale = VECTOR_OPS[name]
    net = small(kind)
    given = build(net)
    net.quantise(given, "y", scale, -128 if name in ("sigmoid", "softmax") else -5)
    shape = [1, BANDS, FRAMES]
    check(tmp_path, model(net.nodes, net.constants, shape), shape)


@KINDS
def test_state_in_front_of_new_rows(tmp_path: Path, kind: type[Any]) -> None:
    """A cache that goes in and comes out is a streaming convolution: call by call, with the same codes."""
    net = Quantised(kind)
    net.quantise("x", "a", 0.05, 10)
    net.quantise("h", "dh", 0.05, 10)
    net.nodes.append(node("Concat", "dh a", "both", axis=2))
    net.quantise("both", "db", 0.05, 10)
    net.weight("w1", weights(6, BANDS, 4), RANDOM.uniform(0.001, 0.004, 6), 0)
    for name, value in (("from", [-3]), ("to", [1 << 62]), ("axis", [2])):
        net.constant(name, value, np.int64)
    net.nodes += [node("Conv", "db w1", "c"), node("Slice", "both from to axis", "hn")]
    net.quantise("c", "y", 0.03, 3)
    states = {"h": [1, BANDS, 3]}
    made = model(net.nodes, net.constants, [1, BANDS, 1], outputs=("y", "hn"), states=states)
    workload = models.imported(made, tmp_path)
    codes = RANDOM.integers(0, 256, (30, BANDS)).astype(np.uint8)
    got = models.reference_values(workload, codes, [0, 20, 30])[workload.graph.last.name].reals()
    x, run = models.real_features(workload, codes), models.session(tmp_path / "model.onnx")
    for start, end in ((0, 20), (20, 30)):
        state = np.zeros((1, BANDS, 3), np.float32)
        for t in range(start, end):
            y, state = run.run(["y", "hn"], {"x": x[t].reshape(1, BANDS, 1), "h": state})
            np.testing.assert_array_equal(got[t], y.reshape(-1))
    assert size_of(workload.graph, workload.tensors).state_values == 3 * BANDS


@pytest.mark.parametrize("op", ["LSTM", "GRU", "GRU after"])
def test_recurrence(tmp_path: Path, op: str) -> None:
    """LSTM and GRU over time, and call by call: within 1e-5, set beforehand."""
    units, gates = 5, 4 if op == "LSTM" else 3
    draw = lambda *shape: (RANDOM.standard_normal(shape) * 0.5).astype(np.float32)  # noqa: E731
    constants = {
        "w": draw(1, gates * units, BANDS),
        "r": draw(1, gates * units, units),
        "b": draw(1, 2 * gates * units),
    }
    attributes = {"linear_before_reset": 1} if op == "GRU after" else {}
    states = {"h": [1, 1, units], "c": [1, 1, units]} if op == "LSTM" else {"h": [1, 1, units]}
    nodes = [
        node("Transpose", "x", "t", perm=[2, 0, 1]),
        node(op.split()[0], f"t w r b - {' '.join(states)}", "l " + " ".join(f"{s}n" for s in states),
             hidden_size=units, **attributes),
        node("Squeeze", "l axes", "y"),
    ]  # fmt: skip
    constants["axes"] = np.array([1])  # type: ignore[assignment]
    outputs = ("y", *(f"{name}n" for name in states))
    made = model(nodes, constants, [1, BANDS, "time"], outputs=outputs, states=states)
    workload = models.imported(made, tmp_path, feature_scale=0.02, feature_offset=128)
    codes = RANDOM.integers(1, 256, (40, BANDS)).astype(np.uint8)
    got = models.float_values(workload, codes, [0, 40])[workload.graph.last.name].values
    x = models.real_features(workload, codes).T[None]
    feeds = {"x": x, **{name: np.zeros(shape, np.float32) for name, shape in states.items()}}
    wanted = models.session(tmp_path / "model.onnx").run(["y"], feeds)[0].reshape(40, units)
    assert np.abs(got - wanted).max() < 1e-5
    assert size_of(workload.graph, workload.tensors).macs == gates * units * (BANDS + units)


def test_integers_without_scales(tmp_path: Path) -> None:
    """ConvInteger of codes whose zero point is that of int8 gives the sums as they are."""
    constants: dict[str, Any] = {
        "s": np.float32(0.05), "z": np.int8(0), "w": weights(4, BANDS, 3), "k": np.float32(0.001),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "q"), node("ConvInteger", "q w z", "i", pads=[1, 1]),
        node("Cast", "i", "f", to=1), node("Mul", "f k", "y"),
    ]  # fmt: skip
    check(tmp_path, model(nodes, constants, [1, BANDS, FRAMES]), [1, BANDS, FRAMES], exact_notes=False)


def test_float_network(tmp_path: Path) -> None:
    """The float network equals onnxruntime's within float32 rounding: 1e-5 of the largest output, set beforehand."""
    f = lambda *shape: (RANDOM.standard_normal(shape) * 0.3).astype(np.float32)  # noqa: E731
    constants = {
        "w1": f(6, 1, 3, 3), "b1": f(6), "w2": f(6, 1, 3, 3), "w3": f(5, 6, 1, 1), "gain": f(5) + 1, "shift": f(5),
        "mean": f(5), "variance": f(5) ** 2 + 0.5, "w4": f(FRAMES * BANDS * 5, 4), "b4": f(4),
    }  # fmt: skip
    nodes = [
        node("Conv", "x w1 b1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "c2", group=6, pads=[2, 1, 0, 1]),
        node("Conv", "c2 w3", "c3"),
        node("BatchNormalization", "c3 gain shift mean variance", "n"),
        node("Flatten", "n", "flat"),
        node("MatMul", "flat w4", "p"),
        node("Add", "p b4", "y"),
    ]
    shape = [1, 1, FRAMES, BANDS]
    workload = models.imported(
        model(nodes, constants, shape), tmp_path, time_axis=2, feature_scale=0.03, feature_offset=120
    )
    codes = RANDOM.integers(1, 247, (FRAMES, BANDS)).astype(np.uint8)
    got = models.float_values(workload, codes, [0, FRAMES])[workload.graph.last.name].values
    wanted = models.oracle(tmp_path / "model.onnx", models.real_features(workload, codes), 2, shape)
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()
    text = (tmp_path / "net" / "import.md").read_text()
    assert "| n | BatchNormalization | c3 |" in text, "the batch norm is folded into the convolution before it"


def test_node_behind_a_branch(tmp_path: Path) -> None:
    """Nodes behind an If, and those that their operators are written as, go on as before it."""
    f = lambda *shape: (RANDOM.standard_normal(shape) * 0.3).astype(np.float32)  # noqa: E731
    given = [models.onnx.helper.make_tensor_value_info("inside", models.FLOAT, None)]
    branches = {
        key: models.onnx.helper.make_graph([node("MatMul", f"x {w}", "inside", f"{key}_p")], key, [], given)
        for key, w in (("then_branch", "w1"), ("else_branch", "w2"))
    }
    nodes = [node("If", "yes", "b", **branches), node("Sigmoid", "b", "s"), node("MatMul", "s w3", "y")]
    constants = {"yes": np.array(True), "w1": f(BANDS, 6), "w2": f(BANDS, 6), "w3": f(6, 3)}
    shape = [1, FRAMES, BANDS]
    workload = models.imported(
        model(nodes, constants, shape), tmp_path, time_axis=1, feature_scale=0.03, feature_offset=120
    )
    assert [op.op for op in workload.graph.ops if op.op != "dequantise"] == ["linear", "sigmoid", "linear"]
    codes = RANDOM.integers(1, 247, (FRAMES, BANDS)).astype(np.uint8)
    got = models.float_values(workload, codes, [0, FRAMES])[workload.graph.last.name].values
    wanted = models.oracle(tmp_path / "model.onnx", models.real_features(workload, codes), 1, shape)
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_new_operator_is_one_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that enters itself in the table of rules is all that an operator needs."""
    monkeypatch.setattr(lowering, "RULES", {**lowering.RULES})

    @lowering.onnx_op("Neg")
    def negative(graph: lowering.Lowering, one: Any, read: lowering.Read) -> list[lowering.Anything]:
        x = read[0]
        assert isinstance(x, Value)
        gain = {"gain": np.array(-1, np.float32)}
        return [graph.emit_folding(one, "affine", {"input": x}, {}, x.dims, x.order, tensors=gain)]

    workload = models.imported(model([node("Neg", "x", "y")], {}, [1, BANDS, FRAMES]), tmp_path, time_axis=2)
    codes = RANDOM.integers(0, 256, (FRAMES, BANDS)).astype(np.uint8)
    got = models.reference_values(workload, codes, [0, FRAMES])["y"].values
    assert np.array_equal(got, -models.real_features(workload, codes))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Selu", "x", "y", "leak")], "node 'leak' (Selu): this op is not supported"),
        ([node("Conv", "x w", "y", "c", group=2)], "8 channels in 2 groups"),
        ([node("MaxPool", "x", "y", "p", kernel_shape=[3], strides=[1])], "windows that touch"),
        ([node("Softmax", "x", "y", "s", axis=2)], "a softmax over time"),
        ([node("Foo", "x", "y", "f", domain="my")], "operators of 'my' are not known"),
    ],
)  # fmt: skip
def test_refused_by_node(tmp_path: Path, nodes: list[Any], reason: str) -> None:
    """What cannot be taken is named by its node, with the reason."""
    made = model(nodes, {"w": np.zeros((4, 4, 3), np.float32)}, [1, BANDS, FRAMES])
    with pytest.raises(InputError) as error:
        models.imported(made, tmp_path, time_axis=2)
    assert reason in str(error.value)
    assert not (tmp_path / "net").exists()


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Every node that cannot be taken is named, none that only reads what one of them gives."""
    nodes = [node("Elu", "x", "a"), node("Relu", "a", "b"), node("Mish", "x", "c"), node("Add", "b c", "y")]
    with pytest.raises(InputError) as error:
        models.imported(model(nodes, {}, [1, BANDS, FRAMES]), tmp_path, time_axis=2)
    assert [problem.message.split(":")[0] for problem in error.value.problems] == ["node 'a' (Elu)", "node 'c' (Mish)"]


def test_cut_short(tmp_path: Path) -> None:
    """A file that ends anywhere is no ONNX file, and says so."""
    whole = model([node("Relu", "x", "y")], {}, [1, BANDS, FRAMES]).SerializeToString()
    path = tmp_path / "cut.onnx"
    for size in range(1, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            import_model(path, {"time_axis": 2})


def test_command_line(tmp_path: Path, accelsim: Any) -> None:
    """The command imports, says what it made, and refuses what it cannot take with exit 2 and no traceback."""
    constants = {"w": RANDOM.standard_normal((BANDS, 4)).astype(np.float32)}
    made = model([node("MatMul", "x w", "y", "dense")], constants, ["time", BANDS])
    models.onnx.save(made, tmp_path / "net.onnx")
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "a.npz", features=RANDOM.standard_normal((50, BANDS)).astype(np.float32))
    run = ["import", tmp_path / "net.onnx", "--out", tmp_path / "out"]
    done = accelsim(*run, "--calibrate", tmp_path / "data", "--bits", "8", "--bits", "dense=4")
    assert done.code == 0, done.err
    text = (tmp_path / "out" / "workload.yaml").read_text()
    assert "weight_bits: 4" in text
    assert "weights of 4 bits, ranges from 50 frames (percentile)" in (tmp_path / "out" / "import.md").read_text()
    wrong = accelsim(*run, "--bits", "four")
    assert (wrong.code, "'--bits four' is not a number of bits" in wrong.err) == (2, True)
    models.onnx.save(model([node("Elu", "x", "y", "bend")], {}, ["time", BANDS]), tmp_path / "net.onnx")
    refused = accelsim(*run)
    assert (refused.code, "node 'bend' (Elu): this op is not supported" in refused.err) == (2, True)
