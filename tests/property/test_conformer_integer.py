"""The integer Conformer of conformer_an4 on the kernels alone, without PyTorch."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest

from accelsim import library
from accelsim.data import data_folder
from accelsim.data.an4 import FILE, feature_codes, load_an4, load_dictionary
from accelsim.kernels.activation import quantise
from accelsim.kernels.converters import AdcTransfer, adc_codes
from accelsim.kernels.crossbar import digits
from accelsim.ops.linear import LinearOp
from accelsim.ops.op import Datapath, Signal, evaluate
from accelsim.score.ctc import CtcWords

FOLDER = library.root() / "workloads" / "conformer_an4"
if not FOLDER.joinpath("integer.py").exists():
    pytest.skip("the recipes come with a source checkout", allow_module_level=True)
sys.path.append(str(FOLDER))

from integer import FEATURES, graph, network, run  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from shape import POSITIONS, FrontConv, Shape  # noqa: E402

SCALE = 1 / 32
NETWORK = "relative_4"
UTTERANCES = 20


def committed():
    """Return shape and tensors of the 4-bit network that ships."""
    path = FOLDER / f"{NETWORK}.safetensors"
    with safe_open(path, "numpy") as file:
        return Shape.from_json(file.metadata()["shape"]), load_file(path)


def random_network(position, seed=0):
    """Return a small shape and random tensors with scales that use the codes' range."""
    random = np.random.default_rng(seed)
    front = (FrontConv(4, pool=(1, 2)), FrontConv(6, (3, 1), (2, 1), (2, 1)))
    shape = Shape(6, 2, 5, front, width=12, heads=2, feed_forward=24, kernel=7, blocks=2, position=position, reach=4)
    sizes = {
        "front.convs.0": (3, 3, 2, 4), "front.convs.1": (3, 1, 4, 6), "front.linear": (18, 12), "output": (12, 5),
    }  # fmt: skip
    tensors = {}
    for i in range(shape.blocks):
        block = f"blocks.{i}"
        for ff in ("ff1", "ff2"):
            sizes |= {f"{block}.{ff}.linear1": (12, 24), f"{block}.{ff}.linear2": (24, 12)}
        sizes |= {f"{block}.conv.{name}": size for name, size in
                  {"pointwise1": (12, 24), "depthwise": (7, 12), "pointwise2": (12, 12)}.items()}  # fmt: skip
        sizes |= {f"{block}.attention.qkv": (12, 36), f"{block}.attention.out": (12, 12)}
        sizes |= {f"{block}.attention.linear_pos": (12, 12)}
        norms = ("ff1.norm", "conv.norm", "conv.depthwise_norm", "attention.norm", "ff2.norm", "norm")
        for norm in norms:
            tensors |= {
                f"{block}.{norm}.gain": random.normal(1, 0.2, 12),
                f"{block}.{norm}.bias": random.normal(0, 0.2, 12),
            }
        tensors |= {
            f"{block}.attention.heads.u": random.normal(0, 1, (2, 6)),
            f"{block}.attention.heads.v": random.normal(0, 1, (2, 6)),
        }
        tensors[f"{block}.attention.positions.table"] = random.normal(0, 1, (9, 12))
    for name, size in sizes.items():
        tensors[f"{name}.bias"] = random.normal(0, 0.1, size[-1])
        scale = 1 / (4 * np.sqrt(np.prod(size[:-1])))
        tensors |= {f"{name}.weight_scale": scale, f"{name}.input_scale": SCALE, f"{name}.output_scale": 1 / 32}
    tensors = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
    tensors |= {f"{name}.weight": random.integers(-7, 8, size, np.int8) for name, size in sizes.items()}
    del tensors["output.output_scale"]
    return shape, tensors


@pytest.mark.parametrize("number", ["float32", "float16"])
@pytest.mark.parametrize("position", POSITIONS)
def test_utterances_do_not_see_each_other(position, number):
    """Alone, or with others before and behind: the same bits."""
    shape, tensors = random_network(position)
    random = np.random.default_rng(1)
    codes = [random.integers(-127, 128, (frames, 12), np.int8) for frames in (9, 30, 17)]
    together, clamped = run(shape, tensors, codes, SCALE, number)
    alone = [run(shape, tensors, [x], SCALE, number) for x in codes]
    for ours, (theirs, _) in zip(together, alone, strict=True):
        assert ours.std() > 0.05
        np.testing.assert_array_equal(ours, theirs[0])
    if position in (
        "none",
        "relative_no_linear",
        "learnable_no_linear",
    ):  # else the positions' codes count once a batch
        assert clamped == sum(count for _, count in alone)


def test_the_number_format_matters_a_little():
    shape, tensors = random_network("relative")
    codes = [np.random.default_rng(2).integers(-127, 128, (40, 12), np.int8)]
    full, half = (run(shape, tensors, codes, SCALE, number)[0][0] for number in ("float32", "float16"))
    assert 0 < np.abs(full - half).max() < 0.5
    np.testing.assert_array_equal(half, half.astype(np.float16).astype(np.float32))


def test_every_layer_reads_what_came_before():
    shape, _ = random_network("relative")
    known = {FEATURES}
    for op in graph(shape):
        assert set(op.reads()) <= known and op.name not in known, op
        known.add(op.name)


@pytest.mark.skipif(not (data_folder() / FILE).exists(), reason="AN4 is not at hand")
def test_words_of_real_speech():
    """The committed 4-bit network on the first test utterances: words, in float32 and in float16."""
    shape, tensors = committed()
    spoken = load_an4("test")[:UTTERANCES]
    tables, words = load_file(FOLDER / "decoder.safetensors"), list(load_dictionary())
    decoder = CtcWords.from_tensors(tables, words, lm_weight=0.5, insertion_penalty=0.0)
    references = [u.words for u in spoken]
    for number in ("float32", "float16"):
        logits, _ = run(shape, tensors, [feature_codes(u.mfcc) for u in spoken], SCALE, number)
        assert [len(x) for x in logits] == [-(-len(u.mfcc) // 4) for u in spoken]
        assert decoder.score(logits, references).value < 25


@pytest.mark.skipif(not (data_folder() / FILE).exists(), reason="AN4 is not at hand")
def test_linear_pos_clips_where_nothing_else_does():
    """Ideal cells, 128 rows a tile, ADC 4/4: arXiv 2606.13379 found the clipping at linear_pos far above all others'.

    Each bit plane of each tile is converted alone; inputs are fractions of full scale.
    """
    shape, tensors = committed()
    codes = [feature_codes(u.mfcc) for u in load_an4("test")[:3]]
    starts = np.cumsum([0, *map(len, codes)])
    net, unit = network(shape, SCALE), Datapath(tensors)
    signals = {FEATURES: Signal(np.concatenate(codes), starts, net.edges[FEATURES])}
    share = {}
    for op in net.ops:
        name = op.name
        if isinstance(op, LinearOp) and name.startswith("blocks."):
            x = quantise(signals[op.input].values, float(tensors[f"{name}.input_scale"]))[0] / 128
            levels = digits(tensors[f"{name}.weight"], weight_bits=4, cell_bits=1, sign="pair").astype(int)
            planes = levels[:, 0] - levels[:, 1]
            tiles = range(0, x.shape[1], 128)
            sums = np.stack([x[:, k : k + 128] @ plane[k : k + 128] for plane in planes for k in tiles])
            share[name] = adc_codes(sums, AdcTransfer(4, 4))[1] / sums.size
        evaluate([op], signals, net.edges, unit)
    positions = {name: value for name, value in share.items() if name.endswith("linear_pos")}
    assert min(positions.values()) > 0.1, positions
    assert max(share[name] for name in share.keys() - positions.keys()) < 0.01, share


def test_lengths_pair_up():
    """Frames behind the front end: ceil(n / 2), then the maximum of two."""
    shape, tensors = random_network("none")
    starts = np.array([0, 9, 10])
    logits, _ = run(shape, tensors, [np.zeros((b - a, 12), np.int8) for a, b in pairwise(starts)], SCALE)
    assert [len(x) for x in logits] == [2, 0]
