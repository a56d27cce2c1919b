"""Speech networks of others and of our own through the ONNX importer, on recorded speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models
from onnx_models import model, node

from accelsim.data.dataset import data_folder
from accelsim.data.features import LogMel
from accelsim.data.files import read_audio
from accelsim.errors import InputError
from accelsim.importers.importer import import_model, size_of, write
from accelsim.ops.op import WeightedOp
from accelsim.weights import save_weights

FRAMES, BANDS, CLASSES = 49, 40, 5
RECORDINGS = ("yes", "no", "noise", "silence")


@pytest.fixture(scope="module")
def recordings() -> list[NDArray[np.float32]]:
    """Return recordings of a second of 16 kHz each."""
    paths = [data_folder() / "models" / f"{name}_1000ms.wav" for name in RECORDINGS]
    if not all(path.is_file() for path in paths):
        pytest.skip("the recordings of micro_speech are not in the data folder's models/")
    return [read_audio(path) for path in paths]


@pytest.fixture(scope="module")
def clips(recordings: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return log-mel features of 49 frames at many places of the recordings, and mixtures: [clips, frames, bands]."""
    draw, found = np.random.default_rng(2), []
    front = LogMel(bands=BANDS)
    for first in recordings:
        for second in recordings:
            mixed = first + 0.5 * np.roll(second, int(draw.integers(0, 16_000)))
            codes = front.codes(np.concatenate([mixed, first]).astype(np.float32))
            found += [codes[at : at + FRAMES] for at in (0, 20, 45)]
    return (np.stack(found).astype(np.float32) - 128) / 32


def separable(seed: int) -> Any:
    """Return a separable convolution network in float: 10 x 4 taps in steps of 2, two blocks, a mean, classes."""
    draw = np.random.default_rng(seed)

    def f(*shape: int, fan_in: int) -> NDArray[np.float32]:
        return (draw.standard_normal(shape) * (2 / fan_in) ** 0.5).astype(np.float32)

    channels = 16
    constants = {"w0": f(channels, 1, 10, 4, fan_in=40), "b0": f(channels, fan_in=50)}
    nodes = [node("Conv", "x w0 b0", "c0", "first", strides=[2, 2], pads=[4, 1, 5, 1]), node("Relu", "c0", "r0")]
    for block in (1, 2):
        constants |= {
            f"d{block}": f(channels, 1, 3, 3, fan_in=9), f"p{block}": f(channels, channels, 1, 1, fan_in=channels),
            f"e{block}": f(channels, fan_in=50), f"b{block}": f(channels, fan_in=50),
        }  # fmt: skip
        nodes += [
            node("Conv", f"r{block - 1} d{block} e{block}", f"y{block}", f"depthwise{block}", group=channels,
                 pads=[1, 1, 1, 1]),
            node("Relu", f"y{block}", f"q{block}"),
            node("Conv", f"q{block} p{block} b{block}", f"c{block}", f"pointwise{block}"),
            node("Relu", f"c{block}", f"r{block}"),
        ]  # fmt: skip
    constants |= {"w": f(CLASSES, channels, fan_in=channels) * 3, "b": f(CLASSES, fan_in=50)}
    nodes += [
        node("GlobalAveragePool", "r2", "mean"), node("Flatten", "mean", "flat"),
        node("Gemm", "flat w b", "logits", "classes", transB=1), node("Softmax", "logits", "y", axis=1),
    ]  # fmt: skip
    return model(nodes, constants, [1, 1, FRAMES, BANDS])


def by_hand() -> tuple[int, int]:
    """Return multiply-accumulates of a clip and parameters of `separable`, counted layer by layer."""
    channels, rows, bands = 16, 25, 20
    places = rows * bands
    macs = places * (40 * channels + 2 * (9 * channels + channels * channels)) + channels * CLASSES
    parameters = 41 * channels + 2 * (10 * channels + (channels + 1) * channels) + (channels + 1) * CLASSES
    return macs, parameters


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_quantised_by_onnxruntime(tmp_path: Path, clips: NDArray[np.float32], kind: str, form: str) -> None:
    """A network that onnxruntime quantised with these recordings: all probabilities of all clips to the bit."""
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[NDArray[np.float32]] = iter(clips[::3])

        def get_next(self) -> Any:
            one = next(self.rest, None)
            return None if one is None else {"x": one[None, None]}

    models.onnx.save(separable(1), tmp_path / "float.onnx")
    path = tmp_path / "model.onnx"
    q.quantize_static(
        tmp_path / "float.onnx", path, Reader(), quant_format=q.QuantFormat[form], per_channel=True, reduce_range=True,
        activation_type=q.QuantType.QInt8 if kind == "int8" else q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
    )  # fmt: skip
    workload = write(import_model(path, {"time_axis": 2}), tmp_path / "net")
    edge = workload.spec.features()
    codes = np.clip(np.rint(clips / np.float32(edge.scale)) + edge.zero_point, 0, 255).astype(np.uint8)
    starts = [FRAMES * clip for clip in range(len(clips) + 1)]
    got = models.reference_values(workload, codes.reshape(-1, BANDS), starts)[workload.graph.last.name].reals()
    run = models.session(path)
    wanted = np.concatenate([run.run(None, {"x": one[None, None]})[0] for one in clips])
    np.testing.assert_array_equal(got, wanted)
    assert wanted.argmax(axis=1).std() > 0 and len(np.unique(wanted)) > 30
    assert "approximate" not in {row.split(" | ")[3] for row in _rows(tmp_path / "net")}
    macs, parameters = by_hand()
    size = size_of(workload.graph, workload.tensors)
    assert (size.macs, size.parameters) == (macs, parameters)


def _rows(folder: Path) -> list[str]:
    return [line for line in (folder / "import.md").read_text().splitlines() if line.count(" | ") == 4]


@pytest.mark.parametrize(("bits", "rule", "most"), [(8, "max", 0.05), (4, "percentile", 0.5), (2, "percentile", 2.0)])
def test_float_network_is_calibrated(
    tmp_path: Path, clips: NDArray[np.float32], bits: int, rule: str, most: float
) -> None:
    """Weights of few bits, ranges of the recordings: logits are off by so much of their root mean square at most.

    8 bits: a code of a value in 4 deviations is 3 % of it, and seven layers add up; the mean over time takes most of it
    away. 4 and 2 bits: weights are off by 12 % and 44 %, the distortion of uniform quantisers of normal numbers, in
    each of four layers.
    """
    made = separable(1)
    del made.graph.node[-1]  # logits, not probabilities
    made.graph.output[0].name = "logits"
    models.onnx.save(made, tmp_path / "float.onnx")
    folder = tmp_path / "recordings"
    folder.mkdir()
    starts = np.arange(0, len(clips) * FRAMES, FRAMES)
    np.savez(folder / "clips.npz", features=clips.reshape(-1, BANDS), starts=starts)
    settings = {
        "time_axis": 2, "calibrate": str(folder), "calibration": rule, "bits": {"all": bits, "classes": 8, "first": 8},
    }  # fmt: skip
    workload = write(import_model(tmp_path / "float.onnx", settings), tmp_path / "net")
    width = {op.name: op.weight_bits for op in workload.graph.ops if isinstance(op, WeightedOp)}
    assert width == {name: 8 if name in ("classes", "first") else bits for name in width}
    for name, one in width.items():
        assert np.abs(workload.tensors[f"{name}.weight"]).max() == 2 ** (one - 1) - 1
    edge = workload.spec.features()
    assert abs(edge.scale - (max(clips.max(), 0) - min(clips.min(), 0)) / 255) < 1e-6
    codes = np.clip(np.rint(clips / np.float32(edge.scale)) + edge.zero_point, 0, 255).astype(np.uint8)
    ends = [*starts.tolist(), len(clips) * FRAMES]
    rows = codes.reshape(-1, BANDS)
    got = models.reference_values(workload, rows, ends)[workload.graph.last.name].values
    exact = models.float_values(workload, rows, ends)[workload.graph.last.name].values
    run = models.session(tmp_path / "float.onnx")
    real = models.real_features(workload, codes)
    wanted = np.concatenate([run.run(None, {"x": one[None, None]})[0] for one in real])
    assert np.abs(exact - wanted).max() <= 1e-4 * wanted.std(), "the float network beside it is the file's"
    error = np.sqrt(np.square(got - wanted).mean() / np.square(wanted).mean())
    assert 0 < error < most, f"{error:.3f} of the root mean square"


def test_what_calibration_refuses(tmp_path: Path) -> None:
    """An unknown matrix, bits that no weights have, folders and files that hold no features: all said, with a hint."""
    models.onnx.save(separable(1), tmp_path / "float.onnx")
    folder = tmp_path / "recordings"
    folder.mkdir()

    def refused(**settings: Any) -> str:
        with pytest.raises(InputError) as error:
            import_model(tmp_path / "float.onnx", {"time_axis": 2, **settings})
        return str(error.value)

    assert "no recordings or features" in refused(calibrate=str(folder))
    assert "no folder for calibration" in refused(calibrate=str(tmp_path / "nothing"))
    assert "need --calibrate FOLDER" in refused(bits=4)
    np.savez(folder / "a.npz", features=np.zeros((9, 3), np.float32))
    assert f"expected finite floats [frames, {BANDS}], found [9, 3]" in refused(calibrate=str(folder))
    np.savez(folder / "a.npz", features=np.zeros((FRAMES, BANDS), np.float32))
    text = refused(calibrate=str(folder), bits={"clases": 4, "first": 9})
    assert "--bits clases=4: no matrix of this name" in text
    assert "did you mean 'classes'" in text
    assert "--bits first=9: weights have 2 to 8 bits" in text
    (folder / "b.wav").write_bytes(b"RIFF")
    assert "b.wav" in refused(calibrate=str(folder))


def test_silero(tmp_path: Path, recordings: list[NDArray[np.float32]]) -> None:
    """Silero's voice activity detector: probabilities within 1e-4 of onnxruntime's, set before it was run.

    Each row is 512 new samples behind 64 of the row before; LSTM states, inputs and outputs of the file, go on from row
    to row. With float16 weights within 0.02.
    """
    silero = pytest.importorskip("silero_vad")
    path = Path(silero.__file__).parent / "data" / "silero_vad_16k_sequence.onnx"
    if not path.is_file():
        pytest.skip("this version of silero-vad has no silero_vad_16k_sequence.onnx")
    settings = {"feature_scale": 1 / 128, "feature_offset": 128}
    workload = write(import_model(path, settings), tmp_path / "net")
    audio = np.concatenate([np.zeros(64, np.float32), *recordings])
    rows = [audio[at : at + 576] for at in range(0, len(audio) - 576, 512)]
    codes = np.clip(np.rint(np.stack(rows) * 128) + 128, 0, 255).astype(np.uint8)
    zero = np.zeros((1, 1, 128), np.float32)
    feeds = {"input": models.real_features(workload, codes), "h": zero, "c": zero}
    wanted = models.session(path).run(None, feeds)[0]
    assert wanted.max() > 0.9 and wanted.min() < 0.1, "speech and no speech"
    got = models.float_values(workload, codes, [0, len(codes)])[workload.graph.last.name].values[:, 0]
    assert np.abs(got - wanted).max() < 1e-4
    half = models.computed(workload, codes, [0, len(codes)])[workload.graph.last.name].values[:, 0]
    assert np.abs(half - wanted).max() < 0.02
    # 258 filters of 256 taps at 5 places (the file computes one more than it reads), four convolutions, LSTM, output.
    convolutions = 258 * 256 * 5 + 128 * 387 * 4 + 64 * 384 * 2 + 64 * 192 + 128 * 192
    size = size_of(workload.graph, workload.tensors)
    assert size.macs == convolutions + 512 * (128 + 128) + 128
    biases = 128 + 64 + 64 + 128 + 512 + 1
    weights = 258 * 256 + 128 * 387 + 64 * 384 + 64 * 192 + 128 * 192 + 512 * 256 + 128
    assert size.parameters == weights + biases


def _module(file: str) -> Any:
    """Return torchaudio's module of Conformers without the package around it, which may not load on this machine."""
    import importlib.util

    try:
        found = importlib.util.find_spec("torchaudio")
    except (ImportError, ValueError):
        found = None
    path = None if found is None or found.origin is None else Path(found.origin).parent / "models" / file
    if path is None or not path.is_file():
        pytest.skip("torchaudio is not installed")
    spec = importlib.util.spec_from_file_location("torchaudio_conformer", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WIDTH, HEADS, HIDDEN, TAPS = 32, 4, 48, 15


def state_of(module: Any, path: Path) -> Path:
    """Save a module's parameters as safetensors."""
    return save_weights(path, {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()})


def shaken(module: Any, seed: int) -> Any:
    """Return a module whose norms and statistics are not those of their beginning."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.add_(0.1 * torch.randn_like(tensor))
    return module.eval()


def compare_layer(tmp_path: Path, layer: Any, wanted: Any, **settings: Any) -> Any:
    """Import a layer; its float network, and the one with float16 weights, lie near PyTorch's values."""
    torch = pytest.importorskip("torch")
    path = state_of(layer, tmp_path / "layer.safetensors")
    settings = {"heads": HEADS, "feature_scale": 0.03125, "feature_offset": 100, **settings}
    workload = write(import_model(path, settings, format="conformer"), tmp_path / "net")
    codes = np.random.default_rng(3).integers(0, 256, (60, WIDTH)).astype(np.uint8)
    with torch.no_grad():
        values = wanted(torch.tensor(models.real_features(workload, codes)))
    last = workload.graph.last.name
    exact = models.float_values(workload, codes, [0, 60])[last].values
    half = models.computed(workload, codes, [0, 60])[last].values
    deviation = values.numpy().std()
    assert np.abs(exact - values.numpy()).max() < 1e-3 * deviation, "issue's bound: 1e-3 of the standard deviation"
    assert np.abs(half - values.numpy()).max() < 2e-2 * deviation
    return workload


@pytest.mark.parametrize("first", [False, True], ids=["attention first", "convolution first"])
def test_torchaudio_conformer(tmp_path: Path, first: bool) -> None:
    """torchaudio's layer, batch of one, batch norm folded into the depthwise weights."""
    made = _module("conformer.py").ConformerLayer(WIDTH, HIDDEN, HEADS, TAPS, convolution_first=first)
    layer = shaken(made, 1)
    workload = compare_layer(
        tmp_path, layer, lambda x: layer(x[:, None], None)[:, 0], convolution_first=first
    )  # fmt: skip
    # Four dense layers of feed-forward, q k v and out, the two pointwise and the depthwise convolution.
    macs = 4 * WIDTH * HIDDEN + 4 * WIDTH**2 + 3 * WIDTH**2 + TAPS * WIDTH
    assert size_of(workload.graph, workload.tensors).macs == macs


def test_torchaudio_group_norm_is_refused(tmp_path: Path) -> None:
    """A group norm normalises over time."""
    layer = _module("conformer.py").ConformerLayer(WIDTH, HIDDEN, HEADS, TAPS, use_group_norm=True)
    path = state_of(layer, tmp_path / "layer.safetensors")
    with pytest.raises(InputError, match="a group norm normalises over time"):
        import_model(path, {"heads": HEADS}, format="conformer")
    with pytest.raises(InputError, match="5 heads do not divide a width of 32"):
        import_model(path, {"heads": 5}, format="conformer")


def speechbrain_layer() -> Any:
    """Return a layer of SpeechBrain 1.1.2's layout: its modules by their published names, its forward in PyTorch.

    speechbrain/lobes/models/transformer/Conformer.py, ConformerEncoderLayer with attention_type regularMHA.
    """
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Swish(nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, x: Any) -> Any:
            return x * torch.sigmoid(x)

    class Wrapped(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, name: str, inner: Any) -> None:
            super().__init__()
            self.add_module(name, inner)

    def feed_forward() -> Any:
        ffn = nn.Sequential(nn.Linear(WIDTH, HIDDEN), Swish(), nn.Dropout(0), nn.Linear(HIDDEN, WIDTH))
        return nn.Sequential(nn.LayerNorm(WIDTH), Wrapped("ffn", ffn), nn.Dropout(0))

    class Layer(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.mha_layer = Wrapped("att", nn.MultiheadAttention(WIDTH, HEADS, batch_first=False))
            convolution = nn.Module()
            convolution.layer_norm = nn.LayerNorm(WIDTH)
            convolution.bottleneck = nn.Sequential(nn.Conv1d(WIDTH, 2 * WIDTH, 1), nn.GLU(dim=1))
            convolution.conv = nn.Conv1d(WIDTH, WIDTH, TAPS, padding=TAPS // 2, groups=WIDTH)
            convolution.after_conv = nn.Sequential(nn.LayerNorm(WIDTH), Swish(), nn.Linear(WIDTH, WIDTH), nn.Dropout(0))
            self.convolution_module = convolution
            self.ffn_module1, self.ffn_module2 = feed_forward(), feed_forward()
            self.norm1, self.norm2 = (Wrapped("norm", nn.LayerNorm(WIDTH)) for _ in range(2))

        def half(self, module: Any, x: Any) -> Any:
            return 0.5 * module[1].ffn(module[0](x))

        def forward(self, x: Any) -> Any:
            x = x + self.half(self.ffn_module1, x)
            y = self.norm1.norm(x)[:, None]
            x = x + self.mha_layer.att(y, y, y, need_weights=False)[0][:, 0]
            inner = self.convolution_module
            y = inner.conv(inner.bottleneck(inner.layer_norm(x).T[None]))[0].T
            x = x + inner.after_conv(y)
            return self.norm2.norm(x + self.half(self.ffn_module2, x))

    return Layer()


def test_speechbrain_conformer(tmp_path: Path) -> None:
    """SpeechBrain's layer, with a LayerNorm where others have a batch norm."""
    layer = shaken(speechbrain_layer(), 2)
    compare_layer(tmp_path, layer, layer)


def test_other_attention_is_refused(tmp_path: Path) -> None:
    """Relative positions are another module: it is named, and so is every parameter that nothing is made of."""
    layer = speechbrain_layer()
    tensors = {name: tensor.detach().numpy() for name, tensor in layer.state_dict().items()}
    tensors["mha_layer.pos_bias_u"] = np.zeros((HEADS, WIDTH // HEADS), np.float32)
    path = save_weights(tmp_path / "layer.safetensors", tensors)
    with pytest.raises(InputError, match=r"'mha_layer\.pos_bias_u'"):
        import_model(path, {"heads": HEADS}, format="conformer")


def s4d_state(channels: int, states: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of the public S4D module as it begins, and of the layer that mixes its channels."""
    draw = np.random.default_rng(seed)
    log_dt = draw.uniform(np.log(0.001), np.log(0.1), channels)
    return {
        "kernel.log_dt": log_dt.astype(np.float32),
        "kernel.C": draw.standard_normal((channels, states, 2)).astype(np.float32),
        "kernel.log_A_real": np.full((channels, states), np.log(0.5), np.float32),
        "kernel.A_imag": np.tile(np.pi * np.arange(states), (channels, 1)).astype(np.float32),
        "D": draw.standard_normal(channels).astype(np.float32),
        "output_linear.0.weight": (draw.standard_normal((2 * channels, channels, 1)) / 3).astype(np.float32),
        "output_linear.0.bias": (draw.standard_normal(2 * channels) / 10).astype(np.float32),
    }


def s4d_by_recurrence(state: dict[str, NDArray[np.float32]], u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the module's output by running its states step by step: x = a x + (a - 1) / A u, y = 2 Re C x + D u."""
    from math import erf

    wide = {name: tensor.astype(np.float64) for name, tensor in state.items()}
    poles = -np.exp(wide["kernel.log_A_real"]) + 1j * wide["kernel.A_imag"]
    a = np.exp(poles * np.exp(wide["kernel.log_dt"])[:, None])
    c = wide["kernel.C"][..., 0] + 1j * wide["kernel.C"][..., 1]
    x, rows = np.zeros(a.shape, np.complex128), []
    for one in u:
        x = a * x + (a - 1) / poles * one[:, None]
        rows.append(2 * (c * x).sum(axis=1).real + wide["D"] * one)
    y = np.array(rows)
    y = y * (1 + np.vectorize(erf)(y / np.sqrt(2))) / 2
    mixed = y @ wide["output_linear.0.weight"][:, :, 0].T + wide["output_linear.0.bias"]
    half = mixed.shape[1] // 2
    return np.asarray(mixed[:, :half] / (1 + np.exp(-mixed[:, half:])))


def test_s4d_module(tmp_path: Path) -> None:
    """The float network is the module's, one row later, within 1e-4; the kernels' integers follow it."""
    state = s4d_state(6, 8, 4)
    path = save_weights(tmp_path / "s4d.safetensors", state)
    settings: dict[str, Any] = {"feature_scale": 0.03125, "feature_offset": 128}
    with pytest.raises(InputError, match=r"A of \d+ of 48 states rounds to \|a\| >= 1"):
        import_model(path, settings, format="s4d")
    settings["round_towards_zero"] = True
    workload = write(import_model(path, settings, format="s4d"), tmp_path / "net")
    codes = np.clip(np.random.default_rng(5).normal(128, 32, (90, 6)), 0, 255).astype(np.uint8)
    signals = models.float_values(workload, codes, [0, 90])
    wanted = s4d_by_recurrence(state, (codes.astype(np.float64) - 128) * 0.03125)
    np.testing.assert_allclose(signals[workload.graph.last.name].values[1:], wanted[:-1], atol=1e-4)
    kernel = workload.graph.ops[0]
    integers = models.reference_values(workload, codes, [0, 90])[kernel.name]
    real = signals[kernel.name].values
    error = integers.values * integers.edge.scale - real
    assert error.std() < 0.3 * real.std(), "7-bit levels, a few of them rounded towards 0"


def test_s4d_parameters_that_are_no_module(tmp_path: Path) -> None:
    """A missing parameter, a wrong shape, and one that nothing is made of are named."""
    state = s4d_state(3, 4, 1)
    short = {name: tensor for name, tensor in state.items() if name != "kernel.log_dt"}
    path = save_weights(tmp_path / "a.safetensors", short)
    with pytest.raises(InputError, match=r"there is no parameter 'kernel\.log_dt'"):
        import_model(path, {"round_towards_zero": True}, format="s4d")
    path = save_weights(tmp_path / "a.safetensors", {**state, "D": np.zeros(4, np.float32)})
    with pytest.raises(InputError, match=r"'D' has the shape \[4\], expected \[3\]"):
        import_model(path, {"round_towards_zero": True}, format="s4d")
    path = save_weights(tmp_path / "a.safetensors", {**state, "norm.weight": np.zeros(4, np.float32)})
    with pytest.raises(InputError, match=r"'norm\.weight'"):
        import_model(path, {"round_towards_zero": True}, format="s4d")
