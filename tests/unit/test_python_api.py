"""What Python gets: names, results, tables, figures, forms for notebooks, sweeps and comparisons."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.api import notebook
from accelsim.errors import InputError
from accelsim.library import root
from accelsim.pipeline import run_in_full
from accelsim.record import record
from accelsim.schema import load_yaml

CHIP, NETWORK = "rsnn28nm", "rsnn_paper_activity"
FEW: dict[str, Any] = {"workload.inputs.frames": 20}


@pytest.fixture(scope="module")
def result() -> accelsim.Result:
    return accelsim.run(CHIP, NETWORK, overrides=FEW, keep=True)


def test_tab_offers_the_public_names_alone() -> None:
    assert dir(accelsim) == sorted(accelsim.__all__)
    assert all(getattr(accelsim, name) is not None for name in accelsim.__all__)
    # A notebook's completion reads what the module holds, too.
    code = "import accelsim; print([name for name in vars(accelsim) if not name.startswith('_')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        accelsim.runn  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(accelsim.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ["Architecture", "ChipComparison", "Result", "Sweep", "Workload"])
def test_public_methods_have_types_and_words(name: str) -> None:
    kind = getattr(accelsim, name)
    assert kind.__doc__
    for method, function in inspect.getmembers(kind, inspect.isfunction):
        if method.startswith("_") or not function.__module__.startswith("accelsim"):
            continue
        signature = inspect.signature(function)
        assert function.__doc__, f"{name}.{method}"
        assert signature.return_annotation is not inspect.Signature.empty, f"{name}.{method}"


def test_a_result_is_told_in_one_line_and_is_the_record_that_the_pipeline_makes(result: accelsim.Result) -> None:
    plain = record(run_in_full(CHIP, NETWORK, overrides=FEW), "")
    assert result == plain and plain == result and result != plain.model_copy(update={"seed": 7})
    assert result.to_json() == plain.to_json()
    assert len(repr(result)) < 200 and "\n" not in str(result) and len(repr(plain)) < 200
    assert str(result) == "<Result rsnn_paper_activity on rsnn28nm: 71.1 uW, 711 nJ a frame, 0.314 mm2, 20 frames>"
    late = accelsim.run(CHIP, NETWORK, overrides=FEW | {"clocks.main.frequency": "50 kHz"})
    assert f"{late.performance.deadline_misses} late" in repr(late)


def test_a_result_is_read_back_with_its_tables_and_figures(result: accelsim.Result, tmp_path: Path) -> None:
    again = accelsim.Result.read(result.write(tmp_path))
    assert isinstance(again, accelsim.Result) and again == result
    assert again.to_frame("layers").equals(result.to_frame("layers"))
    for kept in ("outputs", "activity"):
        with pytest.raises(InputError, match=rf"{kept} were not kept \(accelsim.run\(..., keep=True\)\)"):
            getattr(again, kept)
    with pytest.raises(InputError, match="frames were not kept"):
        again.to_frame("frames")
    assert pickle.loads(pickle.dumps(again)) == result


class Tags(HTMLParser):
    """Checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def words_of(html: str) -> str:
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    return " ".join(tags.text.split())


def test_a_notebook_shows_the_head_of_the_report(result: accelsim.Result) -> None:
    text = words_of(result._repr_html_())
    for part in ("rsnn_paper_activity on rsnn28nm", "20 frames of 1 utterances", "71.1 µW", "cycles per frame", "area"):
        assert part in text
    assert "http" not in result._repr_html_() and "<script" not in result._repr_html_()
    late = accelsim.run(CHIP, NETWORK, overrides=FEW | {"clocks.main.frequency": "50 kHz"})
    assert 'class="warning"' in late._repr_html_() and 'class="warning"' not in result._repr_html_()


def test_nothing_of_a_name_gets_out_of_its_form(result: accelsim.Result) -> None:
    bad = result.model_copy(update={"workload": result.workload.model_copy(update={"name": "<script>x</script>"})})
    assert "<script" not in bad._repr_html_()


def test_the_tables_of_a_run_add_up(result: accelsim.Result) -> None:
    pandas = pytest.importorskip("pandas")
    parts, figures = result.to_frame("components"), result.to_frame()
    assert parts.energy_j.sum() == pytest.approx(result.energy.total_j)
    assert parts.area_mm2.sum() == pytest.approx(result.area_mm2)
    assert (
        parts.filter(regex="^(dynamic|clock|leakage|standby|wake)_j$").sum(axis=1) - parts.energy_j
    ).abs().max() < 1e-18
    assert figures.loc["power_w", "value"] == result.power_w and figures.loc["power_w", "unit"] == "W"
    assert (figures.loc["power_w", "low"], figures.loc["power_w", "high"]) == result.uncertainty.power_w
    layers = result.to_frame("layers")
    assert list(layers.index) == [layer.name for layer in result.layers]
    assert layers.macs_performed.sum() == result.performance.macs_performed
    frames = result.to_frame("frames")
    assert len(frames) == 20 and (frames.finished_s > frames.arrived_s).all()
    assert frames.late.sum() == result.performance.deadline_misses
    assert isinstance(frames, pandas.DataFrame) and frames.arrived_s.dtype == np.float64
    with pytest.raises(InputError, match=r"no table 'layer'.*layers"):
        result.to_frame("layer")  # type: ignore[arg-type]


def test_outputs_are_those_that_are_scored() -> None:
    result = accelsim.run("imssa", "s4d_digits", overrides={"workload.inputs.utterances": 3}, keep=True)
    assert len(result.outputs) == 3 and result.outputs[0].ndim == 2
    counted = result.to_frame("utterances")
    assert counted.errors.sum() / counted.length.sum() == pytest.approx(result.accuracy.value / 100)
    assert sum(macs["performed"] for macs in result.activity.macs.values()) == result.performance.macs_performed


def test_random_activity_has_no_outputs(result: accelsim.Result) -> None:
    with pytest.raises(InputError, match="random activity has no values"):
        result.outputs  # noqa: B018


def test_figures_are_pictures_that_a_notebook_shows(result: accelsim.Result) -> None:
    for draw in (result.plot.energy, result.plot.roofline, result.plot.timeline):
        figure = draw()
        assert figure._repr_png_().startswith(b"\x89PNG")
    before = result.model_copy(update={"frame": None})
    with pytest.raises(InputError, match="no timeline of a frame"):
        before.plot.timeline()


def test_the_timeline_has_the_busy_components_of_the_frame(result: accelsim.Result) -> None:
    (axes,) = result.plot.timeline().axes
    drawn = [label.get_text() for label in axes.get_yticklabels()]
    worked = {member.partition("[")[0] for job in result.frame.jobs for member in job.busy_ps}
    assert set(drawn) == worked
    widths = sum(path.get_extents().width for bars in axes.collections[1::2] for path in bars.get_paths())
    total_ms = sum(ps for job in result.frame.jobs for ps in job.busy_ps.values()) * 1e-9
    assert widths == pytest.approx(total_ms)


@pytest.mark.parametrize("module", ["pandas", "matplotlib"])
def test_what_is_missing_is_asked_for(module: str, result: accelsim.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install 'accelsim-speech\["):
        result.to_frame() if module == "pandas" else result.plot.energy()


def test_chips_and_networks_are_taken_as_objects_mappings_and_paths(result: accelsim.Result, tmp_path: Path) -> None:
    data = load_yaml(root() / "arch" / f"{CHIP}.yaml").data
    loaded = accelsim.load_architecture(CHIP)
    written = loaded.write(tmp_path / "chip.yaml")
    network = accelsim.load_workload(NETWORK, {"inputs.frames": 20})
    for chip in (loaded, data, written, str(written)):
        for what, overrides in ((network, None), (NETWORK, FEW)):
            other = accelsim.run(chip, what, overrides=overrides)
            assert other.performance == result.performance and other.energy == result.energy
    one = accelsim.run(loaded, network, overrides={"workload.time_steps": 1})
    assert one.performance.macs_dense < result.performance.macs_dense and one.performance.frames == 20


def test_a_sweep_of_files_and_of_objects(tmp_path: Path) -> None:
    axes = {"pe.sets": [2, 4]}
    named = accelsim.sweep(CHIP, axes, tmp_path / "a", workload=NETWORK, overrides=FEW)
    assert len(named) == 2 and [point["components.pe.sets"] for point in named.pareto()]
    frame = named.to_frame()
    assert list(frame["components.pe.sets"]) == [2, 4] and frame.on_front.any()
    assert named.result(0).performance.frames == 20 and named.result(7) is None
    assert len(named.to_frame("points")) == 2
    text = words_of(named._repr_html_())
    assert "2 of 2 configurations done" in text and "pe.sets" in text

    data = load_yaml(root() / "arch" / f"{CHIP}.yaml").data
    chip, network = accelsim.load_architecture(data), accelsim.load_workload(NETWORK, {"inputs.frames": 20})
    given = accelsim.sweep(chip, axes, tmp_path / "b", workload=network)
    metrics = ["power_w", "area_mm2", "cycles_per_frame"]
    assert given.to_frame()[metrics].equals(frame[metrics])
    assert (tmp_path / "b" / "architecture.yaml").is_file()
    with pytest.raises(InputError, match="holds results already"):
        accelsim.sweep(chip, axes, tmp_path / "b", workload=network)
    again = accelsim.sweep(chip, axes, tmp_path / "b", workload=network, resume=True)
    assert again.to_frame().equals(given.to_frame())
    with pytest.raises(InputError, match="holds another sweep"):
        accelsim.sweep(chip.with_({"pe.sets": 8}), axes, tmp_path / "b", workload=network, resume=True)
    assert accelsim.Sweep(tmp_path / "b").to_frame().equals(given.to_frame()), "the files of the first one stay"


def test_axes_step_together_and_take_what_python_has() -> None:
    together = [
        {"pe.sets": np.array([2, 4]), "technology.voltage": ("0.8 V", "0.9 V")},
        {"workload.time_steps": range(1, 3)},
    ]
    found = accelsim.sweep(CHIP, together, workload=NETWORK, overrides=FEW)
    frame = found.to_frame()
    assert len(frame) == 4
    assert frame[["components.pe.sets", "technology.voltage, V"]].to_numpy().tolist()[0] == [2, 0.8]
    folder = found.folder
    assert folder.is_dir()
    del found
    assert not folder.exists(), "a temporary folder goes with its sweep"


def test_the_front_and_curves_of_a_sweep_are_drawn() -> None:
    found = accelsim.sweep(CHIP, {"technology.voltage": "0.8 V:0.9 V:0.05 V"}, workload=NETWORK, overrides=FEW,
                           objectives=["power", "area"])  # fmt: skip
    assert found.plot.pareto()._repr_png_().startswith(b"\x89PNG")
    assert found.plot.all()


def test_chips_side_by_side() -> None:
    lower = accelsim.load_architecture(CHIP, {"technology.voltage": "0.8 V"})
    both = accelsim.compare(CHIP, lower, workload=NETWORK, overrides=FEW)
    frame = both.to_frame()
    assert frame.loc["power_w", "ratio 2"] < 1
    assert both.names() == ["rsnn28nm (1)", "rsnn28nm (2)"] and list(frame.columns)[1:3] == both.names()
    assert "cycles" in words_of(both._repr_html_())
    with pytest.raises(InputError, match="a paper is named alone"):
        accelsim.compare(CHIP, workload=NETWORK)  # type: ignore[call-overload]


def test_reports_of_what_python_holds(result: accelsim.Result, tmp_path: Path) -> None:
    (page,) = accelsim.write_report(result, tmp_path / "a")
    assert "rsnn_paper_activity" in page.read_text()
    result.write(tmp_path / "run")
    (same,) = accelsim.write_report(tmp_path / "run")
    assert same == tmp_path / "run" / "report.html" and same.read_text() == page.read_text()
    found = accelsim.sweep(CHIP, {"pe.sets": [2, 4]}, tmp_path / "sweep", workload=NETWORK, overrides=FEW)
    assert [path.name for path in accelsim.write_report(found)] == ["report.html"]


def test_progress_is_told_to_whoever_asks() -> None:
    told: list[tuple[str, int | None, int | None]] = []
    accelsim.run(CHIP, NETWORK, overrides=FEW, progress=lambda *stage: told.append(stage))
    assert any(done == total == 20 for _, done, total in told)


def test_a_bar_says_what_is_left() -> None:
    bar = notebook.bar_html("<2> of 4", 2, 4, 12.3, 65.0)
    assert 'value="2" max="4"' in bar and "&lt;2&gt; of 4" in bar and "12 s, 65 s left" in bar
    assert "left" not in notebook.bar_html("x", 2, 4, 12.3, 3.0) and "max" not in notebook.bar_html(
        "x", None, None, 1, None
    )
    assert "2 min left" in notebook.bar_html("x", 2, 4, 12.3, 120.0)
    assert not notebook.in_notebook()


WORDS = ("rising", "falling")


def spoken(speakers: int, seed: int = 0) -> list[accelsim.Recording]:
    """Return recordings of two words, a tone that rises and one that falls."""
    random, t = np.random.default_rng(seed), np.arange(4000) / 8000
    return [
        accelsim.Recording(
            np.sin(6.283 * np.cumsum(400 * (1 + (t if word == "rising" else 0.5 - t)) / 8000))
            + 0.02 * random.standard_normal(len(t)),
            8000, label=word, speaker=f"s{number}",
        )
        for number in range(speakers)
        for word in WORDS
    ]  # fmt: skip


def listener() -> dict[str, Any]:
    """Return a network of one layer as Python writes it, with a decoder in arrays."""
    random = np.random.default_rng(1)
    return {
        "name": "listener",
        "weights": {"fc.weight": random.integers(-7, 8, (40, 3))},
        "inputs": {"source": "array"},
        "graph": [{"name": "fc", "op": "linear", "gives": "codes", "input": "features", "outputs": 3,
                   "weight_bits": 4, "input_offset": 80}],
        "score": {"kind": "utterance_class", "classes": [*WORDS], "readout": "mine",
                  "decoder": {"mine.weight": random.normal(size=(3, 2)), "mine.bias": np.zeros(2)}},
    }  # fmt: skip


def test_a_network_and_recordings_of_python_alone(tmp_path: Path) -> None:
    heard = spoken(2)
    result = accelsim.run("memristor_tile", listener(), inputs=heard, keep=True)
    assert result.accuracy is not None and result.accuracy.n == 4 and result.accuracy.speakers == 2
    network = accelsim.load_workload(listener(), inputs=heard)
    assert accelsim.run("memristor_tile", network).accuracy == result.accuracy
    written = accelsim.load_workload(network.write(tmp_path / "listener"))
    again = accelsim.run("memristor_tile", written, keep=True)
    assert all(np.array_equal(a, b) for a, b in zip(again.outputs, result.outputs, strict=True)), "the WAVs are exact"
    assert again.accuracy is not None and again.accuracy.value == result.accuracy.value


def test_a_sweep_over_recordings_of_python(tmp_path: Path) -> None:
    axes, heard = {"adc.precision_bits": [2, 4]}, spoken(1)
    found = accelsim.sweep("memristor_tile", axes, tmp_path / "a", workload=listener(), inputs=heard)
    alone = accelsim.run("memristor_tile", listener(), inputs=heard, overrides={"adc.precision_bits": 2})
    first = found.result(0)
    assert first is not None and first.accuracy is not None and alone.accuracy is not None
    assert (first.accuracy.value, first.energy) == (alone.accuracy.value, alone.energy)
    network = accelsim.load_workload("tile_frames", inputs={"utterances": 1})
    other = accelsim.sweep("memristor_tile", axes, workload=network)
    assert other.result(0).performance.utterances == 1


@pytest.mark.slow
def test_a_type_checker_knows_the_public_names(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    (tmp_path / "mine.py").write_text(
        "import accelsim\n"
        "reveal_type(accelsim.run('x'))\n"
        "reveal_type(accelsim.Result.read)\n"
        "accelsim.runn('x')\n"
    )  # fmt: skip
    told, _, _ = mypy.run(["--config-file=", "--ignore-missing-imports", "--follow-imports=silent",
                           f"--cache-dir={tmp_path / 'cache'}", str(tmp_path / "mine.py")])  # fmt: skip
    assert 'Revealed type is "accelsim.api.results.Result"' in told
    assert "-> accelsim.api.results.Result" in told or "-> Result" in told
    assert 'Module has no attribute "runn"' in told
