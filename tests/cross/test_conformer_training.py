"""The training loop of the Conformer recipes, on a tiny network; needs PyTorch, of the extras train and test."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from accelsim import library

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

FOLDER = library.root() / "workloads" / "conformer_an4"
if not FOLDER.joinpath("model.py").exists():
    pytest.skip("the recipes come with a source checkout", allow_module_level=True)
sys.path.append(str(FOLDER))

import training  # noqa: E402
from shape import FrontConv, Shape  # noqa: E402

SHAPE = Shape(1, 4, 3, (FrontConv(6, (3, 1), (2, 1)),), width=6, heads=2, feed_forward=8, kernel=3, blocks=1)
SCALE = 1 / 32


@pytest.fixture
def examples():
    """Sixty utterances: class 1 is loud in the first two inputs, class 2 in the others; blanks are silent."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(60):
        classes = tuple(int(c) for c in random.integers(1, 3, random.integers(1, 4)))
        x = random.normal(0, 5, (8 * len(classes), 1, 4))
        for i, c in enumerate(classes):
            x[8 * i + 2 : 8 * i + 6, 0, 2 * (c - 1) : 2 * c] += 80
        made.append(training.Example((np.clip(x, -127, 127).astype(np.int8),), classes))
    return made


def plan(**changes):
    settings = {"epochs": 3, "rate": 5e-3, "time_masks": 1, "longest_time_mask": 2, "band_masks": 0}
    settings |= {"frames_per_batch": 128, "shortest_first": True}
    return training.Plan(**{**settings, **changes})


def trained(shape, plan, examples, path, **options):
    training.train(shape, plan, examples, path, scale=SCALE, **options)
    return training.network(path)


def test_it_learns_in_float_and_in_integers(examples, tmp_path):
    said = []

    def report(model):
        logp = training.log_probabilities(model, [e.speeds[0] for e in examples], SCALE)
        said.append(np.mean([said_by(x) == e.classes for x, e in zip(logp, examples, strict=True)]))
        return "heard"

    def said_by(logp):
        path = [int(c) for c in logp.argmax(axis=1)]
        return tuple(c for before, c in zip([0, *path], path, strict=False) if c and c != before)

    trained(SHAPE, plan(epochs=15), examples, tmp_path / "float.pt", report=report)
    assert said[-1] > 0.8, said
    small = trained(
        SHAPE, plan(epochs=3, bits=4), examples, tmp_path / "4.pt", start_from=tmp_path / "float.pt", report=report
    )
    assert said[-1] > 0.7, said
    tensors = small.tensors()
    assert np.abs(tensors["blocks.0.ff1.linear1.weight"]).max() <= 7
    assert 7 < np.abs(tensors["output.weight"]).max() <= 127
    assert tensors["front.convs.0.input_scale"] == np.float32(SCALE)


def test_a_stopped_training_goes_on_as_if_nothing_had_been(examples, tmp_path, monkeypatch):
    whole = trained(SHAPE, plan(), examples, tmp_path / "whole.pt")
    save = training._save

    def save_and_stop(path, state):
        save(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        trained(SHAPE, plan(), examples, tmp_path / "parts.pt")
    monkeypatch.setattr(training, "_save", save)
    parts = trained(SHAPE, plan(), examples, tmp_path / "parts.pt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_a_checkpoint_of_another_training_is_refused(examples, tmp_path):
    trained(SHAPE, plan(epochs=1), examples, tmp_path / "a.pt")
    with pytest.raises(SystemExit, match="of another training"):
        trained(SHAPE, plan(epochs=1, seed=2), examples, tmp_path / "a.pt")
