"""Any number of a file at its edge: a message with its key, never a traceback, a warning of NumPy or NaN."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from accelsim.architecture import load_architecture
from accelsim.components import KINDS
from accelsim.cost import check_point, check_prices
from accelsim.data import LogMel, Waveform
from accelsim.engines.deploy import deploy
from accelsim.errors import AccelsimError, InputError
from accelsim.schema import parse, parse_yaml
from accelsim.schema.quantity import _KINDS, Quantity
from accelsim.schema.workload import RandomInputs, SpeechInputs
from accelsim.score import FrameClasses
from accelsim.score.score import SCORES
from accelsim.workload import load_workload

NUMBERS = ("0", "-1", "1e-300", "1e-5", "0.37", "1000000", "2147483647", "9223372036854775808", "1" + "0" * 30, "1e300")
SPEECH = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
FEATURES = {"log_mel": LogMel, "waveform": Waveform}


def numeric(model: Any) -> list[str]:
    """Return the keys of a model or dataclass that hold numbers, None among them."""
    if dataclasses.is_dataclass(model):
        return [f.name for f in dataclasses.fields(model) if isinstance(f.default, int | float)]
    found = model.model_fields.items()
    return [key for key, field in found if "int" in str(field.annotation) or "float" in str(field.annotation)]


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, model in FEATURES.items() for key in numeric(model)])
@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_of_features(kind: str, key: str, value: str) -> None:
    text = f"source: speech\ndataset: librivox_sample\nsplit: test\nfeatures: {{kind: {kind}, {key}: {value}}}\n"
    try:
        inputs = parse(SpeechInputs, parse_yaml(text, "net.yaml"))
    except InputError as error:
        assert all(str(problem).startswith("net.yaml:4: ") and f"'{key}'" in str(problem) for problem in error.problems)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = inputs.features.codes(SPEECH)
        silent = inputs.features.codes(np.zeros_like(SPEECH))
    assert codes.dtype == silent.dtype == np.uint8 and codes.shape == silent.shape
    assert 1 <= len(codes) <= len(SPEECH)


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("key", ["utterances", "seconds", "trim_db", "longest_s", "context.before", "context.after"])
def test_numbers_of_inputs(key: str, value: str) -> None:
    outer, _, inner = key.rpartition(".")
    line = f"{outer}: {{{inner}: {value}}}" if outer else f"{key}: {value}"
    try:
        inputs = parse(SpeechInputs, parse_yaml(f"source: speech\ndataset: a\nsplit: b\n{line}\n", "net.yaml"))
    except InputError as error:
        assert f"net.yaml:4: '{inner}': " in str(error)
    else:
        assert 0 < inputs.width() < 10_000  # 201 frames of 40 bands


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("key", ["frames", "features", "input_ones", "spikes", "readout", "frame_period"])
def test_numbers_of_random_inputs(key: str, value: str) -> None:
    given = {"frames": "10", "features": "4", "input_ones": "0.5", "spikes": "0.3", "readout": "0.4"}
    given |= {"frame_period": "10 ms", key: f"{value} s" if key == "frame_period" else value}
    text = "".join(f"{name}: {one}\n" for name, one in {"source": "random", **given}.items())
    try:
        inputs = parse(RandomInputs, parse_yaml(text, "net.yaml"))
    except InputError as error:
        assert key in str(error) and "net.yaml:" in str(error)
    else:
        assert inputs.frames * inputs.width() < 2**30


VITERBI = {"decoder": "d", "phones": ["SIL", "AA"], "acoustic_scale": 1.0, "lm_weight": 1.0}
SCORED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "viterbi_phonemes": (VITERBI, {
        "tied": np.arange(12).reshape(2, 2, 3) % 4, "stay": np.full((2, 3), 0.5, np.float32),
        "bigram": np.full((2, 2), -0.7, np.float32), "bias": np.zeros(4, np.float32),
        "log_prior": np.full(4, -1.4, np.float32), "output_scale": np.ones(4, np.float32),
    }),
    "ctc_words": ({"decoder": "d", "words": ["A", "B"], "lm_weight": 1.0}, {
        "lexicon": np.array([[1], [2]]), "word_of": np.array([0, 1]), "bigram": np.full((3, 3), -1.1, np.float32),
    }),
    "ctc_classes": ({"names": ["", "AA", "B", "D"], "beam": 2}, {}),
    "utterance_class": ({"decoder": "d", "readout": "r", "classes": ["a", "b"], "segments": 2}, {
        "r.weight": np.ones((8, 2), np.float32), "r.bias": np.zeros(2, np.float32),
    }),
    "frame_error": ({"decoder": "d", "output_scale": 1.0}, {
        "bias": np.zeros(4), "labels": np.zeros(30, np.int64), "starts": np.array([0, 30]),
    }),
}  # fmt: skip


def test_every_score_of_accelsim_is_among_these() -> None:
    own = {name for name in SCORES.items() if SCORES.origin(name[0]) == "accelsim-speech"}
    assert {name for name, _ in own} <= SCORED.keys()


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind in SCORED for key in numeric(SCORES[kind])])
def test_numbers_of_scores(kind: str, key: str, value: str) -> None:
    settings, tensors = SCORED[kind]
    text = "".join(f"{name}: {one}\n" for name, one in {"kind": kind, **settings, key: value}.items())
    try:
        score = parse(SCORES[kind], parse_yaml(text, "net.yaml"))
        judge = score.judge(tensors, reference=False)
    except InputError as error:
        assert f"'{key}': " in str(error) and "net.yaml:" in str(error)
        return
    except ValueError as error:  # the workload's loader tells it with the decoder's file
        assert key in str(error)
        return
    outputs = np.random.default_rng(1).normal(0, 1, (30, 4)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labelled = isinstance(judge, FrameClasses)
        found = judge.score([outputs] * (1 if labelled else 2), [("AA",)] * (1 if labelled else 2))
    assert np.isfinite(found.value)


# Chips: every kind of component that ships, once.

CHIPS = ("rsnn28nm", "memristor_tile", "imssa", "edge_npu", "state_and_vector", "isaac_tile", "memristor_conformer")


def keys_of_chips() -> Iterator[tuple[str, str, str | None]]:
    """Yield (chip, dotted key, SI unit or None) of every number of a chip, those of a kind of component once."""
    seen = set()

    def walk(model: BaseModel, prefix: str, kind: str) -> Iterator[tuple[str, str, str | None]]:
        for key, field in type(model).model_fields.items():
            value = getattr(model, key)
            if isinstance(value, BaseModel):
                yield from walk(value, f"{prefix}.{key}", f"{kind}.{key}")
            elif isinstance(value, int | float) and not isinstance(value, bool) and (kind, key) not in seen:
                seen.add((kind, key))
                quantities = [m for m in field.metadata if isinstance(m, Quantity)]
                yield chip, f"{prefix}.{key}", _KINDS[quantities[0].kind].unit if quantities else None

    for chip in CHIPS:
        spec = load_architecture(chip).spec
        for name, component in spec.components.items():
            yield from walk(component, f"components.{name}", component.kind)
        for name, clock in spec.clocks.items():
            yield from walk(clock, f"clocks.{name}", "clocks")
        for name in ("technology", "pacing", "compiler"):
            yield from walk(getattr(spec, name), name, name)


def test_all_kinds_of_components_are_walked() -> None:
    kinds = {spec.kind for chip in CHIPS for spec in load_architecture(chip).components().values()}
    own = {kind for kind in KINDS if KINDS.origin(kind) == "accelsim-speech"}
    assert own - kinds <= {"max_pool"}, "a kind that no chip here has"


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("chip", "key", "unit"), [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in keys_of_chips()]
)
def test_numbers_of_chips(chip: str, key: str, unit: str | None, networks: dict[str, Any]) -> None:
    numbers = ("-1", "0", "1e-300", "1e290") if unit else ("-1", "0", "2147483647", "1" + "0" * 30)
    for number in numbers:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                made = load_architecture(chip, {key: f"{number} {unit}" if unit else number})
                check_point(made)
                check_prices(made)
                name = made.spec.workload
                if name not in networks:
                    networks[name] = load_workload(name)
                deploy(networks[name], made)
            except AccelsimError as error:
                assert isinstance(error, InputError) and str(error)
