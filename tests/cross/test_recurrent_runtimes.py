"""Recurrent layers against those who define them: PyTorch and ONNX in floats, TFLite's two runtimes in integers.

The denoiser is a file of others, models/dtln_noise_suppression.tflite of the data folder; each oracle comes with the
extra test-import.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tflite_networks import compared

from accelsim.data import data_folder
from accelsim.ops.op import Datapath, Edge, Signal
from accelsim.ops.recurrent import DeltaGruOp, GruOp, LstmOp

INPUTS, UNITS, STEPS = 13, 17, 200
BOUND = 5e-6
"""Of 200 steps in float32: each has some thirty roundings of 2^-24 and an error of 1.5e-7 in every tanh."""
HALF_BOUND = 0.01
"""Of the same in float16: about 16 units of the last place below 1."""


def drawn(gates: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"weight": (INPUTS, gates * UNITS), "recurrent_weight": (UNITS, gates * UNITS), "bias": (gates * UNITS,),
              "recurrent_bias": (gates * UNITS,)}  # fmt: skip
    return {f"l.{end}": random.normal(0, 0.4, shape).astype(np.float32) for end, shape in shapes.items()}


def rows(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1.5, (STEPS, INPUTS)).astype(np.float32)


def ours(op: Any, x: np.ndarray, tensors: dict[str, np.ndarray], unit: Datapath | None = None) -> np.ndarray:
    values, _ = op.compute([Signal(x, np.array([0, len(x)]), Edge(INPUTS))], unit or Datapath(tensors))
    return values


def make(kind: str, bits: int = 32, **more: Any) -> Any:
    return {"lstm": LstmOp, "gru": GruOp, "delta_gru": DeltaGruOp}[kind](
        name="l", op=kind, input="x", units=UNITS, weight_bits=bits, **more
    )


def in_torch(kind: str, tensors: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch")
    layer = (torch.nn.LSTM if kind == "lstm" else torch.nn.GRU)(INPUTS, UNITS)
    names = {"weight": "weight_ih_l0", "recurrent_weight": "weight_hh_l0", "bias": "bias_ih_l0",
             "recurrent_bias": "bias_hh_l0"}  # fmt: skip
    with torch.no_grad():
        for end, name in names.items():
            given = np.ascontiguousarray(tensors.get(f"l.{end}", np.zeros(layer.bias_hh_l0.shape)).T, np.float32)
            getattr(layer, name).copy_(torch.from_numpy(given))
        return layer(torch.from_numpy(x)[:, None])[0][:, 0].numpy()


@pytest.mark.parametrize(("kind", "gates"), [("lstm", 4), ("gru", 3)])
def test_pytorch(kind: str, gates: int) -> None:
    tensors = drawn(gates)
    if kind == "lstm":
        del tensors["l.recurrent_bias"]
    x = rows()
    wanted = in_torch(kind, tensors, x)
    assert np.abs(wanted).max() > 0.9
    assert np.abs(ours(make(kind), x, tensors) - wanted).max() < BOUND
    halves = {name: tensor.astype(np.float16) if "weight" in name else tensor for name, tensor in tensors.items()}
    wide = {name: tensor.astype(np.float32) for name, tensor in halves.items()}
    assert np.abs(ours(make(kind, 16), x, halves) - in_torch(kind, wide, x)).max() < BOUND


def test_a_delta_gru_that_takes_every_change_is_a_gru() -> None:
    """Sums are those of what changed, added up over all steps: they lie a few roundings apart."""
    tensors, x = drawn(3), rows()
    wanted = in_torch("gru", tensors, x)
    unit = Datapath(tensors)
    assert np.abs(ours(make("delta_gru", threshold=0.0), x, tensors, unit) - wanted).max() < 4 * BOUND
    taken, _ = unit.taken["l"]
    assert taken[1:].min() >= min(INPUTS, UNITS) - 1
    coarse = Datapath(tensors)
    found = ours(make("delta_gru", threshold=0.1), x, tensors, coarse)
    assert 1e-3 < np.abs(found - wanted).max() < 0.5
    assert coarse.taken["l"][0].sum() < 0.98 * taken.sum()


@pytest.mark.parametrize("after", [True, False])
def test_onnx(after: bool) -> None:
    """GRU with and without linear_before_reset; LSTM: other orders of gates than here."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    tensors, x = drawn(3, seed=2), rows(3)
    order = [1, 0, 2]  # theirs z, r, h

    def turned(end: str) -> np.ndarray:
        parts = np.split(tensors[f"l.{end}"].T, 3)
        return np.ascontiguousarray(np.concatenate([parts[place] for place in order])[None])

    bias = np.concatenate([turned("bias"), turned("recurrent_bias")], axis=1)
    given = {"W": turned("weight"), "R": turned("recurrent_weight"), "B": bias}
    node = onnx.helper.make_node(
        "GRU", ["X", "W", "R", "B"], ["Y"], hidden_size=UNITS, linear_before_reset=int(after)
    )  # fmt: skip
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node], "gru", [onnx.helper.make_tensor_value_info("X", kind, [STEPS, 1, INPUTS])],
        [onnx.helper.make_tensor_value_info("Y", kind, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in given.items()],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"X": x[:, None]})
    assert np.abs(ours(make("gru", reset_after=after), x, tensors) - wanted[:, 0, 0]).max() < BOUND


@pytest.fixture(scope="module")
def spectra() -> np.ndarray:
    """Return magnitudes of 2,000 frames of speech as codes of the denoiser, 512 samples every 128."""
    recordings = data_folder() / "timit_sample_16k_int16.npz"
    if not recordings.exists():
        pytest.skip("no sample of TIMIT")
    samples = np.load(recordings)["audio"].astype(np.float64) / 32768
    parts = []
    # Two places at which a factor that is off by its last bits is seen, in either runtime.
    for first, scale in ((0, 8), (256_000, 12)):
        frames = np.lib.stride_tricks.sliding_window_view(samples[first : first + 512 + 128 * 999], 512)[::128]
        parts.append(np.clip(np.rint(np.abs(np.fft.rfft(frames, axis=1)) / 0.0686 / scale), 0, 255))
    codes = np.concatenate(parts).astype(np.uint8)
    assert len(codes) == 2000 and (codes > 200).any()
    return codes


@pytest.mark.parametrize(
    ("runtime", "rounding"), [("micro", "double_away"), ("optimised", "double_up"), ("default", "single")]
)
def test_denoiser_of_two_lstm(runtime: str, rounding: str, spectra: np.ndarray) -> None:
    """Every code of every tensor of 2,000 frames, in each runtime: h of 128 twice, 257 sums and masks."""
    for needed in ("tflite", "tflite_micro", "ai_edge_litert"):
        pytest.importorskip(needed)
    path = data_folder() / "models" / "dtln_noise_suppression.tflite"
    if not path.exists():
        pytest.skip("no models of others in the data folder")
    found = compared(path.read_bytes(), spectra, rounding, runtime)
    assert not found.wrong(), found.wrong()
    assert found.elements() >= 2000 * (128 + 128 + 257 + 257)
    masks = found.theirs[max(found.theirs)]
    assert masks.min() < -102 and masks.max() > 102  # in the bottom tenth and the top one
