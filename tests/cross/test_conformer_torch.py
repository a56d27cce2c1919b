"""The Conformer's kernels against PyTorch, and the integer network against the fake-quantised one, layer by layer.

PyTorch comes with the extras train and test; without it these tests are skipped.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accelsim import library
from accelsim.data import data_folder, load
from accelsim.data.an4 import FILE, feature_codes, load_an4
from accelsim.data.features import LogMel
from accelsim.kernels.activation import glu, silu
from accelsim.kernels.attention import RelativePositions, attention, sinusoids, whole_utterances
from accelsim.kernels.conv import convolve, depthwise
from accelsim.kernels.norm import layer_norm, softmax
from accelsim.ops.attention import AttentionOp
from accelsim.ops.norm import LayerNormOp
from accelsim.ops.op import Datapath, Signal, WeightedOp

torch = pytest.importorskip("torch")

FOLDER = library.root() / "workloads" / "conformer_an4"
SENTENCES = FOLDER.parent / "conformer_ls"
if not FOLDER.joinpath("model.py").exists():
    pytest.skip("the recipes come with a source checkout", allow_module_level=True)
sys.path.append(str(FOLDER))

import integer  # noqa: E402
import model as torch_model  # noqa: E402
from shape import POSITIONS, FrontConv, Shape  # noqa: E402

SCALE = 1 / 32


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-5, atol=2e-5)


def test_vector_unit():
    x = torch.randn(5, 8, generator=torch.manual_seed(0)) * 4
    gain, bias = torch.rand(8), torch.randn(8)
    close(silu(x.numpy()), torch.nn.functional.silu(x))
    close(glu(x.numpy()), torch.nn.functional.glu(x))
    close(softmax(x.numpy()), x.softmax(dim=-1))
    close(layer_norm(x.numpy(), gain.numpy(), bias.numpy()), torch.nn.functional.layer_norm(x, (8,), gain, bias))


def test_attention():
    """Without positions: PyTorch's own; with them: the scores written out for every pair of frames."""
    torch.manual_seed(1)
    frames, heads, size = 7, 2, 3
    q, k, v = torch.randn(3, heads, frames, size)
    qkv = torch.stack([q, k, v]).permute(2, 0, 1, 3).reshape(frames, -1).numpy()
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    starts = np.array([0, frames])
    close(attention(qkv, whole_utterances(starts), heads), wanted.transpose(0, 1).reshape(frames, -1))

    u, w = torch.randn(2, heads, size)
    p = torch.from_numpy(sinusoids(frames, heads * size)).view(-1, heads, size)
    place = torch.stack([p[frames - 1 - i : 2 * frames - 1 - i] for i in range(frames)])  # [i, j, heads, size]
    scores = torch.einsum("hid,hjd->hij", q + u[:, None], k) + torch.einsum("hid,ijhd->hij", q + w[:, None], place)
    wanted = torch.einsum("hij,hjd->ihd", (scores / math.sqrt(size)).softmax(dim=-1), v).reshape(frames, -1)
    positions = RelativePositions(p.reshape(-1, 6).numpy(), u.numpy(), w.numpy())
    close(attention(qkv, whole_utterances(starts), heads, positions), wanted)


def test_convolutions():
    random = np.random.default_rng(2)
    codes = random.integers(-127, 128, (9, 6, 2), np.int8)
    weights = random.integers(-127, 128, (3, 3, 2, 4), np.int8)
    x, w = torch.from_numpy(codes).double().permute(2, 0, 1)[None], torch.from_numpy(weights).double()
    wanted = torch.nn.functional.conv2d(x, w.permute(3, 2, 0, 1), stride=(2, 1), padding=1)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(convolve(codes, weights, np.array([0, 9]), (2, 1))[0], wanted.numpy())
    codes, weights = codes[:, 0], random.integers(-127, 128, (5, 2), np.int8)
    x, w = torch.from_numpy(codes).double().t()[None], torch.from_numpy(weights).double().t()[:, None]
    wanted = torch.nn.functional.conv1d(x, w, padding=2, groups=2)[0].t()
    np.testing.assert_array_equal(depthwise(codes, weights, np.array([0, 9])), wanted.numpy())


def torch_network(tensors, shape, bits):
    """Return the fake-quantised network that has the exported weights and scales."""
    network = torch_model.Conformer(shape)
    network.quantise(bits, SCALE)
    with torch.no_grad():
        for name, module in network.named_modules():
            own = [key for key in tensors if key.rpartition(".")[0] == name]
            found = {key.rpartition(".")[2]: torch.from_numpy(np.array(tensors[key])) for key in own}
            if isinstance(module, torch_model.Quantised):
                module.weight_scale.copy_(found["weight_scale"])
                module.weight.copy_(found["weight"] * found["weight_scale"])
                module.before.scale.copy_(found["input_scale"])
                if module.after is not None:
                    module.after.scale.copy_(found["output_scale"])
                if module.bias is not None:
                    module.bias.copy_(found["bias"])
            elif isinstance(module, torch.nn.LayerNorm):
                module.weight.copy_(found["gain"])
                module.bias.copy_(found["bias"])
            elif isinstance(module, torch_model.Attention):
                for key in ("heads.u", "heads.v", "positions.table"):
                    if f"{name}.{key}" in tensors:
                        step = float(tensors.get(f"{name}.{key}_scale", 1))  # of a table in 8-bit codes
                        value = torch.from_numpy(np.array(tensors[f"{name}.{key}"])) * step
                        getattr(module, key.rpartition(".")[2]).copy_(value)
    return network.eval()


def check_layer_by_layer(network, tensors, codes):
    """Give every layer PyTorch's input: matrices and norms must answer as PyTorch does; then the whole network."""
    shape, seen = network.shape, {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.__setitem__(name, (inputs[0], output)))
    net = integer.network(shape, SCALE)

    def compute(op, given, starts):
        # PyTorch's tensors are numbers, those of the features too.
        edges = [replace(net.edges[name], kind="real") for name in op.reads()]
        read = [Signal(x, starts, edge) for x, edge in zip(given, edges, strict=True)]
        return op.compute(read, Datapath(tensors, longest=int(starts[-1])))[0]

    logits, _ = integer.run(shape, tensors, codes, SCALE)
    for x, ours in zip(codes, logits, strict=True):
        inputs = torch.from_numpy(x.astype(np.float32)).view(1, len(x), shape.bands, shape.planes) * SCALE
        with torch.inference_mode():
            theirs, _ = network(inputs, torch.tensor([len(x)]))
        checked = 0
        for op in net.ops:
            name = op.name
            if isinstance(op, AttentionOp):
                block = name.removesuffix(".heads")
                found = [seen[f"{block}.qkv"][1][0], seen[f"{block}.out"][0][0]]
                place = f"{block}.linear_pos"
                given = [found[0].numpy(), *([seen[place][1].numpy()] if place in seen else [])]
                if shape.position.endswith("no_linear"):
                    given.append(compute(net.by_name[op.positions], [], np.array([0, len(found[0])])))
                wanted = found[1].numpy()
            elif isinstance(op, WeightedOp | LayerNormOp):
                # The front end, blocks and norms see a batch of one utterance, linear_pos rows of distances.
                given, wanted = ([t.numpy()[0] if t.dim() > 2 else t.numpy()] for t in seen[name])
                given, wanted = [given[0].reshape(len(given[0]), -1)], wanted[0].reshape(len(wanted[0]), -1)
            else:
                continue
            starts = np.array([0, len(given[0])])
            found = compute(op, given, starts)
            step = float(tensors[f"{name}.output_scale"]) if f"{name}.output_scale" in tensors else 0.0
            differ = np.abs(found - wanted)
            # Sums of floats in another order may tip a code that lies between two over to its neighbour.
            assert differ.max() <= step * 1.001 + 2e-5, name
            assert (differ > 2e-5).mean() <= 1e-3, name
            checked += 1
        assert checked > 10 * shape.blocks
        # A code that tips over moves what comes behind it, so the ends agree loosely: to 2 % of the logits' spread.
        assert np.abs(ours - theirs[0].numpy()).mean() < 0.02 * float(theirs.std())
        assert (ours.argmax(axis=1) == theirs[0].argmax(dim=-1).numpy()).mean() > 0.97


@pytest.mark.parametrize("position", POSITIONS)
def test_random_network(position):
    """Two blocks of random weights behind convolutions over bands, maxima and strides; scales from random inputs."""
    torch.manual_seed(3)
    front = (FrontConv(4, pool=(1, 2)), FrontConv(6, (3, 1), (2, 1), (2, 1)))
    shape = Shape(6, 2, 5, front, width=12, heads=2, feed_forward=24, kernel=7, blocks=2, position=position, reach=4)
    network = torch_model.Conformer(shape)
    network.quantise(4, SCALE)
    random = np.random.default_rng(4)
    codes = [np.clip(random.normal(0, 30, (frames, 12)), -127, 127).astype(np.int8) for frames in (21, 40)]
    for x in codes:
        network(torch.from_numpy(x.astype(np.float32)).view(1, len(x), 6, 2) * SCALE, torch.tensor([len(x)]))
    check_layer_by_layer(network.eval(), network.tensors(), codes)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*_*.safetensors")), ids=lambda path: Path(path).stem)
def test_trained_network_on_an4(path):
    """The committed weights on three test utterances of AN4."""
    if not (data_folder() / FILE).exists():
        pytest.skip("AN4 is not at hand")
    check_trained(path, [feature_codes(u.mfcc) for u in load_an4("test")[:3]])


@pytest.mark.parametrize("path", sorted(SENTENCES.glob("*_*.safetensors")), ids=lambda path: Path(path).stem)
def test_trained_network_on_sentences(path):
    """The committed weights of conformer_ls on two utterances that ship: a front end over bands, strides and maxima."""
    codes = [LogMel(bands=80).codes(u.audio).astype(np.int16) - 80 for u in load("librivox_sample", "test")[:2]]
    check_trained(path, [np.clip(x, -127, 127).astype(np.int8) for x in codes])


def check_trained(path, codes):
    """Compare the network of a weights file with PyTorch's, which gets the same weights."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(path, "numpy") as file:
        shape = Shape.from_json(file.metadata()["shape"])
    tensors = load_file(path)
    network = torch_network(tensors, shape, int(path.stem.rsplit("_", 1)[1]))
    np.testing.assert_array_equal(
        network.tensors()["blocks.0.ff1.linear1.weight"], tensors["blocks.0.ff1.linear1.weight"]
    )
    check_layer_by_layer(network, tensors, codes)


STREAMS = sorted((FOLDER.parent / "conformer_stream").glob("*_*.safetensors"))


def float_network(tensors, shape):
    """Return the network in float that has the exported float16 weights."""
    network = torch_model.Conformer(shape)
    ends = {"gain": "weight", "heads.u": "u", "heads.v": "v"}
    with torch.no_grad():
        parameters = dict(network.named_parameters())
        for name, tensor in tensors.items():
            end = next((end for end in ends if name.endswith(f".{end}")), None)
            own = name if end is None else name.removesuffix(end) + ends[end]
            parameters.pop(own).copy_(torch.from_numpy(np.array(tensor, np.float32)))
    assert not parameters, "every parameter was exported"
    return network.eval()


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: Path(path).stem)
def test_trained_network_that_streams(path):
    """The committed weights of conformer_stream in chunks of any trained length, on two utterances that ship."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(path, "numpy") as file:
        shape = Shape.from_json(file.metadata()["shape"])
    tensors, in_float = load_file(path), path.stem.endswith("_16")
    network = float_network(tensors, shape) if in_float else torch_network(tensors, shape, 8)
    for chunk in (4, shape.chunk, 64):
        network.in_chunks(chunk)
        for utterance in load("librivox_sample", "test")[:2]:
            codes = np.clip(LogMel(bands=80).codes(utterance.audio).astype(np.int16) - 80, -127, 127).astype(np.int8)
            inputs = torch.from_numpy(codes.astype(np.float32))[None, :, :, None] * SCALE
            with torch.inference_mode():
                theirs = network(inputs, torch.tensor([len(codes)]))[0][0]
            ours = integer.run(replace(shape, chunk=chunk), tensors, [codes], SCALE)[0][0]
            if in_float:
                np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=2e-3)
            else:  # as above: a code that tips over moves what comes behind it
                assert np.abs(ours - theirs.numpy()).mean() < 0.02 * float(theirs.std())
                assert (ours.argmax(axis=1) == theirs.argmax(dim=-1).numpy()).mean() > 0.97
