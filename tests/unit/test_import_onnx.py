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


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("LeakyRelu", "x", "y", "leak")], "node 'leak' (LeakyRelu): this op is not supported"),
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
