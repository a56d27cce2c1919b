"""Networks that people deploy, on speech that they answer to: each tensor of each run as three runtimes give it.

The wake words come from the wheel pymicro-wakeword, the others from ACCELSIM_DATA/models; the speech is made by
espeak-ng and read from mini LibriSpeech.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.signal import resample_poly
from tflite_networks import compared, here, objects, schema, translated

from accelsim.importers.importer import import_model, size_of, write
from accelsim.ops.op import Datapath
from accelsim.ops.streaming import Stream

RATE = 16_000
RUNTIMES = {"micro": "double_away", "optimised": "double_up", "default": "single"}
WAKE_WORDS = {
    # What is said, and by which voices, at so many words a minute and a pitch: those that the network answers to.
    "okay_nabu": ("okay nabu", (("en-us+m3", 130, 60), ("en-us", 160, 40))),
    "hey_jarvis": ("hey jarvis", (("en-us+f3", 160, 60), ("en-us+f3", 160, 40))),
    "hey_mycroft": ("hey mycroft", (("en-us+m3", 160, 40), ("en-us+f3", 160, 60))),
    "alexa": ("alexa", (("en-us+m3", 160, 60), ("en-us", 160, 40))),
}
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


@pytest.fixture(autouse=True)
def _installed() -> None:
    for needed in ("tflite", "ai_edge_litert", "tflite_micro", "pymicro_features", "pymicro_wakeword"):
        pytest.importorskip(needed)
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")


@cache
def said(text: str, voice: str, words_a_minute: int, pitch: int) -> NDArray[np.float64]:
    """Return a text as espeak-ng speaks it, at 16 kHz."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-p", str(pitch), "--stdout", text]
    audio, rate = soundfile.read(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout))
    return resample_poly(audio, 320, 441) * 0.5 if rate == 22_050 else pytest.fail(f"espeak-ng gave {rate} Hz")


def silence(seconds: float) -> NDArray[np.float64]:
    """Return silence."""
    return np.zeros(round(seconds * RATE))


@cache
def sentences(seconds: float) -> NDArray[np.float64]:
    """Return so much of mini LibriSpeech."""
    folder = Path(os.environ.get("ACCELSIM_DATA", "")) / "librispeech_mini"
    files = sorted(folder.glob("*.opus"))
    if not files:
        pytest.skip("no mini LibriSpeech at ACCELSIM_DATA/librispeech_mini")
    audio: list[NDArray[np.float64]] = []
    while sum(map(len, audio)) < seconds * RATE:
        one, rate = soundfile.read(files[len(audio)])
        audio.append(resample_poly(one, RATE, rate))
    return np.concatenate(audio)[: round(seconds * RATE)]


def model_file(name: str) -> bytes:
    """Return a model of others."""
    path = Path(os.environ.get("ACCELSIM_DATA", "")) / "models" / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"no {path.name} at ACCELSIM_DATA/models")
    return path.read_bytes()


def wake_word(name: str) -> bytes:
    """Return a model of the wheel pymicro-wakeword."""
    import pymicro_wakeword

    return (Path(pymicro_wakeword.__file__).parent / "models" / f"{name}.tflite").read_bytes()


def micro_features(audio: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the features of TensorFlow Lite Micro's front end, 40 for every 10 ms."""
    from pymicro_features import MicroFrontend

    pcm, front_end, rows = np.clip(np.rint(audio * 32767), -32768, 32767).astype("<i2"), MicroFrontend(), []
    for begin in range(0, len(pcm) - 159, 160):
        found = front_end.process_samples(pcm[begin : begin + 160].tobytes()).features
        rows += [found] if found else []
    return np.array(rows, np.float32)


def codes(values: NDArray[Any], data: bytes) -> NDArray[np.uint8]:
    """Return real features as the codes of what a network reads, + 128."""
    graph = objects(data).subgraphs[0]
    quantised = graph.tensors[graph.inputs[0]].quantization
    found = np.round(values / quantised.scale[0] + quantised.zeroPoint[0])
    return (np.clip(found, -128, 127) + 128).astype(np.uint8)


def spectra(audio: NDArray[np.float64], window: int, hop: int) -> NDArray[np.float64]:
    """Return magnitudes of short-time spectra."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, window)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(window), 512))


def mfcc(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 10 cepstral coefficients for every 20 ms, of 40 mel bands from 20 Hz to 4 kHz, scaled as TensorFlow's."""
    mel = 1127 * np.log1p(np.array([20, 4000]) / 700)
    edges = 700 * np.expm1(np.linspace(*mel, 42) / 1127)
    bins = np.arange(257) * RATE / 512
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    bands = np.log(spectra(audio, 480, 320) @ np.clip(np.minimum(rise, fall), 0, None) + 1e-6)
    return dct(bands, axis=1)[:, :10] / np.sqrt(80)


def clips(rows: NDArray[Any], length: int, hop: int, most: int) -> NDArray[Any]:
    """Return clips of so many rows, end to end."""
    begins = range(0, len(rows) - length + 1, hop)
    return np.concatenate([rows[begin : begin + length] for begin in begins][:most])


def commands() -> NDArray[np.float64]:
    """Return ten words in three voices, half a second apart, and sentences between them."""
    voices = (("en-us", 160, 40), ("en-us+f3", 140, 60), ("en-gb-x-rp", 150, 50))
    parts = [silence(0.4)]
    for voice in voices:
        for word in COMMANDS:
            parts += [said(word, *voice), silence(0.5)]
    return np.concatenate([*parts, sentences(4.0)])


def of_wake_word(name: str) -> tuple[bytes, NDArray[np.uint8]]:
    data, (text, voices) = wake_word(name), WAKE_WORDS[name]
    parts = [sentences(8.0)]
    for voice in voices:
        parts += [silence(0.5), said(text, *voice), silence(0.5)]
    rows = codes(micro_features(np.concatenate([*parts, sentences(6.0)])), data)
    return data, rows[: len(rows) // 3 * 3]


def of_kws() -> tuple[bytes, NDArray[np.uint8]]:
    data = model_file("kws_ref_model")
    return data, codes(clips(mfcc(commands()), 49, 3, 500), data)


def of_micro_speech() -> tuple[bytes, NDArray[np.uint8]]:
    data = model_file("micro_speech_quantized")
    return data, codes(clips(micro_features(commands())[::2], 49, 2, 500), data)


def of_dtln() -> tuple[bytes, NDArray[np.uint8]]:
    data = model_file("dtln_noise_suppression")
    noise = 0.02 * np.random.default_rng(4).standard_normal(5 * RATE)
    return data, codes(spectra(sentences(5.0) + noise, 512, 128)[:520], data)


MODELS: dict[str, Callable[[], tuple[bytes, NDArray[np.uint8]]]] = {
    **{name: (lambda name=name: of_wake_word(name)) for name in WAKE_WORDS},  # type: ignore[misc]
    "kws_ref_model": of_kws,
    "micro_speech_quantized": of_micro_speech,
    "dtln_noise_suppression": of_dtln,
}


def parts(rows: NDArray[np.uint8], data: bytes) -> Iterator[NDArray[np.uint8]]:
    """Yield the features of a hundred runs at a time where each is a clip for itself, else all at once."""
    translation, *_ = translated(data, "double_away")
    whole = len(rows) if translation.streaming or not translation.mixes else 100 * translation.step
    for begin in range(0, len(rows), whole):
        yield rows[begin : begin + whole]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_of_every_run_is_that_of_the_runtime(name: str, runtime: str) -> None:
    data, rows = MODELS[name]()
    outputs, runs = [], 0
    for part in parts(rows, data):
        found = compared(data, part, RUNTIMES[runtime], runtime)
        assert found.wrong() == {}
        index = int(objects(data).subgraphs[0].outputs[0])
        outputs.append(found.theirs[index].astype(int))
        runs += len(outputs[-1])
        given = {int(i) for op in objects(data).subgraphs[0].operators for i in op.outputs}
        tensors = objects(data).subgraphs[0].tensors
        assert set(found.ours) == {i for i in given if tensors[i].type != schema().TensorType.RESOURCE}
    assert runs >= 500
    last = np.concatenate(outputs)
    low = 0 if last.max() > 127 else -128
    assert last.max() >= low + 230, f"the largest output is {last.max()}: nothing is recognised"
    assert last.min() <= low + 25, f"the least output is {last.min()}"


def counted(data: bytes) -> tuple[int, int, int]:
    """Return multiply-accumulates of a run, parameters, and values kept from run to run, by the shapes in the file.

    Of a ring buffer what its reader needs is counted: the rows of its window that are not new.
    """
    s, model = schema(), objects(data)
    graph, ops = model.subgraphs[0], s.BuiltinOperator
    shapes = [tuple(int(n) for n in tensor.shape) if tensor.shape is not None else () for tensor in graph.tensors]
    macs = state = 0
    parameters: dict[int, int] = {}
    streaming = any(model.operatorCodes[op.opcodeIndex].builtinCode == ops.VAR_HANDLE for op in graph.operators)
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        inputs, outputs = [int(i) for i in op.inputs], [int(i) for i in op.outputs]
        if kind in (ops.CONV_2D, ops.DEPTHWISE_CONV_2D, ops.FULLY_CONNECTED):
            weight, made = shapes[inputs[1]], int(np.prod(shapes[outputs[0]]))
            each = {ops.CONV_2D: weight[1:], ops.DEPTHWISE_CONV_2D: weight[1:3], ops.FULLY_CONNECTED: weight[1:]}[kind]
            macs += made * int(np.prod(each))
            parameters |= {i: int(np.prod(shapes[i])) for i in inputs[1:] if i >= 0}
        if kind in (ops.CONV_2D, ops.DEPTHWISE_CONV_2D) and streaming:
            read, given = shapes[inputs[0]], shapes[outputs[0]]
            new = given[1] * op.builtinOptions.strideH
            state += (read[1] - new) * read[2] * read[3]
        if kind == ops.RESHAPE and streaming and len(shapes[outputs[0]]) == 2:  # a ring buffer side by side
            state += (shapes[inputs[0]][1] - 1) * shapes[inputs[0]][-1]
        if kind == ops.UNIDIRECTIONAL_SEQUENCE_LSTM:
            units, columns = shapes[inputs[1]]
            macs += 4 * units * (columns + units)
            parameters |= {i: int(np.prod(shapes[i])) for i in (*inputs[1:9], *inputs[12:16])}
            state += 2 * units
    return macs, sum(parameters.values()), state


@pytest.mark.parametrize("name", MODELS)
def test_the_size_of_a_network_is_that_of_its_file(name: str, tmp_path: Path) -> None:
    data = wake_word(name) if name in WAKE_WORDS else model_file(name)
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(data)
    made = write(import_model(path), tmp_path / name)
    size = size_of(made.graph, made.tensors)
    assert (size.macs, size.parameters, size.state_values) == counted(data)


@pytest.mark.parametrize("name", ["okay_nabu", "dtln_noise_suppression"])
def test_a_stream_has_the_bits_of_the_whole_recording(name: str) -> None:
    data, rows = MODELS[name]()
    translation, graph, tensors, _ = translated(data, "double_away")
    rows = rows[: 60 * translation.step]
    whole = here(data, rows, "double_away")[2].values
    stream = Stream(graph, Datapath(tensors))
    pieces = [stream.push(rows[t : t + translation.step]) for t in range(0, len(rows), translation.step)]
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("name", WAKE_WORDS)
def test_what_the_package_says_of_a_wake_word_is_what_halves_up_give(name: str) -> None:
    """The library inside pymicro-wakeword rounds halves up: its probabilities, step by step, are the codes here."""
    from pymicro_wakeword import MicroWakeWord, Model

    data, rows = of_wake_word(name)
    try:
        package = MicroWakeWord.from_builtin(Model(name))
    except (OSError, ValueError) as error:
        pytest.skip(f"its library does not load here: {error}")
    scale = float(translated(data, "double_up")[3].feature_scale)
    theirs = []
    for begin in range(0, len(rows), 3):
        for row in rows[begin : begin + 3]:
            package.process_streaming_prob(row.astype(np.float32)[None, None] * np.float32(scale))
        theirs.append(round(package._probabilities[-1] * 256))
    ours = here(data, rows, "double_up")[2].values.reshape(-1).astype(int) + 128
    assert ours.tolist() == theirs
    assert max(theirs) >= 230
