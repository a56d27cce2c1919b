"""Training on noisy cells: the noise that it hears is that of the device, and a stopped training goes on as it was.

PyTorch comes with the extras train and test; without it these tests are skipped.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from accelsim import library
from accelsim.devices import load_device
from accelsim.kernels.converters import DacTransfer
from accelsim.kernels.ssm import program_kernels, recurrence

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

FOLDER = library.root() / "workloads" / "s4d_digits10"
if not FOLDER.joinpath("train_noise.py").exists():
    pytest.skip("the recipes come with a source checkout", allow_module_level=True)
sys.path.insert(0, str(FOLDER))
try:
    import train as plain_recipe
    import train_noise as recipe
finally:
    sys.path.remove(str(FOLDER))
    sys.modules.pop("train", None)  # other recipes have one too

STEP = 0.3  # 3-bit weights: 0.9 over 3 levels


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


NOISY = load_device("taox").model_copy(update={"write_noise": 10e-6})


@pytest.fixture
def kernels():
    """Kernels whose weights of A, B and C take every level."""
    torch.manual_seed(0)
    found = plain_recipe.Kernels()
    found.bits = 3
    with torch.no_grad():
        for part, top in ((found.a, 2), (found.b, 3), (found.c, 3)):
            part.copy_(STEP * torch.randint(-top, top + 1, part.shape))
    return found


def levels_of(kernels):
    return [level.numpy().astype(np.int8) for level in kernels.levels()]


@pytest.mark.parametrize("noisy", [False, True])
def test_a_layer_is_what_the_simulator_runs(kernels, noisy):
    """Step by step in float against the recurrence of a run with 12-bit converters: rounding apart, no difference."""
    limit, gain = 8.0, 0.1
    per_unit = 2047 / limit
    codes = np.rint(np.random.default_rng(1).normal(0, 1, (3, 30, recipe.CHANNELS)) * per_unit).astype(np.int16)
    cells = recipe.cells_of(NOISY, 0, recipe.FRESH) if noisy else plain_recipe.ideal_cells()
    programmed = program_kernels(*levels_of(kernels), cells.program, cells.curves, weight_bits=3, first_array=4)
    ours = recurrence(
        programmed, codes.reshape(90, -1), np.array([0, 30, 60, 90]), dac=DacTransfer(12, 0.2), state_gain=STEP,
        output_gain=gain,
    )  # fmt: skip
    weights = recipe.on_rows(kernels) + recipe.error(kernels, cells, 4)
    u = torch.from_numpy((codes / per_unit).astype(np.float32))
    y, states = recipe.on_crossbars(weights, u, torch.tensor([limit, torch.inf]))
    wanted = y.detach().numpy() * per_unit / STEP * gain
    assert np.abs(ours.outputs).max() > 200
    np.testing.assert_allclose(ours.outputs.reshape(wanted.shape), wanted, atol=3)
    assert states.abs().max() <= limit


def cut_off(mean, sigma):
    """Return the mean and the variance of max(mean + sigma N(0, 1), 0), by the integrals of the normal density."""
    below, density = (1 + math.erf(mean / sigma / 2**0.5)) / 2, math.exp(-((mean / sigma) ** 2) / 2) / math.tau**0.5
    first, second = mean * below + sigma * density, (mean**2 + sigma**2) * below + mean * sigma * density
    return first, second - first**2


# Conductances of the four levels of a cell and the spread of each, in uS, by the figures of the device's file.
def hermes(x):
    return 0.15781817 + 2.32443916 * x - 2.16310839 * x**2 + 0.68841818 * x**3


LAWS = {
    "taox": [(5 + 145 / 3 * level, 10.0) for level in range(4)],
    "pcm_hermes": [(10.35 / 3 * level, hermes(level / 3)) for level in range(4)],
}


@pytest.mark.parametrize("name", LAWS)
def test_noise_of_training_is_that_of_the_device(kernels, name):
    """Mean and spread of what the cells add to weights of five levels, against the law of their device by hand."""
    device, law = (NOISY if name == "taox" else load_device(name)), LAWS[name]
    step = law[1][0] - law[0][0]
    ideal = torch.round(recipe.on_rows(kernels).detach() / STEP).numpy()
    model = recipe.Noise(1.0)
    found = np.array([recipe.error(kernels, model.drawn(device, call), 0).numpy() for call in range(60)]) / STEP
    (low, low_variance), low_mean = cut_off(*law[0]), law[0][0]
    for level in (-3, -2, 1, 2, 3):
        drawn = found[:, ideal == level].ravel()
        mean, variance = cut_off(*law[abs(level)])
        wanted = np.sign(level) * ((mean - law[abs(level)][0]) - (low - low_mean)) / step
        spread = (variance + low_variance) ** 0.5 / step
        assert len(drawn) > 3000
        assert drawn.mean() == pytest.approx(wanted, abs=4.5 * spread / len(drawn) ** 0.5)
        assert drawn.std() == pytest.approx(spread, rel=4.5 / (2 * len(drawn)) ** 0.5)


def test_each_batch_hears_another_chip_of_another_age():
    model, seen = recipe.Noise(1.0, (recipe.FRESH, recipe.MONTH)), []

    class Device:
        def programmer(self, seed, *, age, **settings):
            seen.append((seed, age))

        def curves(self, read_voltage, cell_bits):
            return None

        def current_terms(self, read_voltage):
            return None

    for call in range(400):
        model.drawn(Device(), call)
    seeds, ages = zip(*seen, strict=True)
    assert len(set(seeds)) == 400 and min(seeds) > 1_000_000
    share = np.log(np.array(ages) / recipe.FRESH) / np.log(recipe.MONTH / recipe.FRESH)
    assert 0 <= share.min() < 0.02 and 0.98 < share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.06)


@pytest.fixture
def data():
    """Two words: the energy of one rises, of the other falls."""
    random, steps, count = np.random.default_rng(0), 20, 72
    labels = np.arange(count) % 2
    slope = np.linspace(-1, 1, steps)[None, :, None] * np.where(labels, 1, -1)[:, None, None]
    inputs = np.zeros((count, plain_recipe.LONGEST, plain_recipe.FEATURES.bands), np.float32)
    inputs[:, :steps] = slope + random.normal(0, 0.2, (count, steps, plain_recipe.FEATURES.bands))
    segments = np.zeros((count, plain_recipe.SEGMENTS, plain_recipe.LONGEST), np.float32)
    for k in range(plain_recipe.SEGMENTS):
        segments[:, k, 5 * k : 5 * k + 5] = 0.2
    return plain_recipe.Recordings(
        torch.from_numpy(inputs), torch.from_numpy(segments), np.full(count, steps), torch.from_numpy(labels),
        np.full(count, "me"),
    )  # fmt: skip


def start():
    torch.manual_seed(3)
    return plain_recipe.Network()


def test_a_stopped_training_goes_on_as_if_nothing_had_been(data, tmp_path, monkeypatch):
    how = recipe.Noise(1.0, epochs=2)
    whole = recipe.trained(start(), how, NOISY, data, "whole", tmp_path)
    save = Path.rename

    def rename_and_stop(path, target):
        save(path, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", rename_and_stop)
        recipe.trained(start(), how, NOISY, data, "parts", tmp_path)
    assert torch.load(tmp_path / "parts.pt", weights_only=True)["epochs"] == 1
    parts = recipe.trained(start(), how, NOISY, data, "parts", tmp_path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    assert int(whole.calls) == 2 * 2


def test_only_the_noise_tells_the_trainings_apart(data):
    """Without a share the device does not matter; with one it does; both learn."""
    short = {"epochs": 1}
    alone = recipe.trained(start(), recipe.Noise(0.0, **short), NOISY, data, "a", None)
    other = recipe.trained(start(), recipe.Noise(0.0, **short), load_device("ideal"), data, "b", None)
    exact = recipe.trained(start(), recipe.Noise(1.0, **short), load_device("ideal"), data, "c", None)
    noisy = recipe.trained(start(), recipe.Noise(1.0, **short), NOISY, data, "d", None)
    weights = [model.readout.weight for model in (alone, other, exact, noisy)]
    assert torch.equal(weights[0], weights[1])
    torch.testing.assert_close(weights[0], weights[2])
    assert not torch.allclose(weights[0], weights[3])


def test_a_current_that_training_does_not_hear_is_refused():
    with pytest.raises(SystemExit, match="device 'rram_milo': currents with further terms"):
        recipe.cells_of(load_device("rram_milo"), 0, recipe.FRESH)


def test_stuck_cells_are_an_option():
    stuck = recipe.with_stuck(NOISY, 0.25)
    levels = np.full((1, 64, 64), 1, np.uint8)
    states = stuck.program(levels, np.zeros(1, np.int64), seed=0, read_voltage=0.2, cell_bits=2).states
    assert (states == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert recipe.with_stuck(NOISY, 0.0) is NOISY
    with pytest.raises(SystemExit, match=r"device 'ideal' .* has no stuck cells"):
        recipe.with_stuck(load_device("ideal"), 0.1)
