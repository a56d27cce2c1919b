"""PyTorch's exported networks, through torch.export and torch.onnx: the same importer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("torch")

import onnx_models as models
import torch

from accelsim.importers.importer import import_model, write

FRAMES, BANDS = 16, 8
OUTPUT_SCALE = 0.02


class Exported(torch.nn.Module):
    """What PT2E leaves of a network: quantised weights, activations quantised one by one, biases in float."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(5)

        def codes(*shape: int) -> Any:
            return torch.randint(-63, 64, shape, generator=draw).to(torch.int8)

        self.register_buffer("w1", codes(6, BANDS, 3))
        self.register_buffer("s1", torch.rand(6, generator=draw) * 0.003 + 0.001)
        self.register_buffer("b1", torch.randn(6, generator=draw))
        self.register_buffer("w2", codes(4, 6))
        self.register_buffer("s2", torch.rand(4, generator=draw) * 0.003 + 0.001)
        self.register_buffer("b2", torch.randn(4, generator=draw))

    @staticmethod
    def activation(x: Any, scale: float, zero: int) -> Any:
        ops = torch.ops.quantized_decomposed
        codes = ops.quantize_per_tensor(x, scale, zero, 0, 255, torch.uint8)
        return ops.dequantize_per_tensor(codes, scale, zero, 0, 255, torch.uint8)

    @staticmethod
    def weight(codes: Any, scales: Any) -> Any:
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        return torch.ops.quantized_decomposed.dequantize_per_channel(codes, scales, zeros, 0, -127, 127, torch.int8)

    def forward(self, x: Any) -> Any:
        x = self.activation(x, 0.05, 128)
        x = torch.nn.functional.conv1d(x, self.weight(self.w1, self.s1), self.b1, padding=1)
        x = self.activation(torch.relu(x), 0.03, 0)
        x = torch.nn.functional.linear(x.transpose(1, 2), self.weight(self.w2, self.s2), self.b2)
        return self.activation(x, OUTPUT_SCALE, 100)


def test_pt2e_through_onnx(tmp_path: Path) -> None:
    """Biases are float in the file, integers here: a code differs by one at most, and in less than one of 50."""
    import torch.ao.quantization.fx._decomposed  # registers the operators

    example = (torch.zeros(1, BANDS, FRAMES),)
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Exported().eval(), example)
        torch.onnx.export(program, example, str(path), dynamo=True, opset_version=20, verbose=False)
    workload = write(import_model(path, {"time_axis": 2}), tmp_path / "net")
    codes = np.random.default_rng(1).integers(0, 256, (20 * FRAMES, BANDS)).astype(np.uint8)
    starts = [FRAMES * clip for clip in range(21)]
    got = models.reference_values(workload, codes, starts)[workload.graph.last.name].reals().reshape(20, FRAMES, 4)
    x = models.real_features(workload, codes).reshape(20, FRAMES, BANDS).transpose(0, 2, 1)
    run = models.session(path)
    wanted = np.concatenate([run.run(None, {run.get_inputs()[0].name: one[None]})[0] for one in x])
    steps = np.abs(np.rint((got - wanted) / OUTPUT_SCALE))
    assert len(np.unique(wanted)) > 50
    assert steps.max() <= 1
    assert np.count_nonzero(steps) < steps.size / 50
    text = (tmp_path / "net" / "import.md").read_text()
    assert "bias rounded to 32-bit integers" in text
    assert [op.op for op in workload.graph.ops if op.op in ("conv", "linear")] == ["conv", "linear"]
