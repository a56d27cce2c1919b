"""Files to begin with: a chip or a network of one's own, made of one that is there, with comments on every part."""

from __future__ import annotations

import inspect
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from accelsim.architecture import load_architecture
from accelsim.components import KINDS
from accelsim.data.files import read_whole
from accelsim.errors import InputError
from accelsim.library import find, find_workload, names, workload_names
from accelsim.ops.op import OPS
from accelsim.result import check_writable, written_whole
from accelsim.schema import Source, check_schema_tag, file_bytes, load_yaml, parse, parse_yaml
from accelsim.schema.names import as_name
from accelsim.schema.source import Location
from accelsim.schema.workload import AudioInputs
from accelsim.text import printable, printable_lines
from accelsim.workload import FILES_OF_INPUTS, WorkloadSpec

_WIDTH = 118

CHIP_KEYS = {
    "name": "What the chip is called in tables and reports.",
    "description": "What it is, in a sentence or two.",
    "workload": "The network that it runs unless another one is given: a name of `accelsim list`, a file or a folder.",
    "clocks": "Each clock with its frequency. A component runs at the first one unless it says `clock: NAME`.",
    "technology": "The price list of energy and area (a name of `accelsim list`, or a file of schema accelsim/cost@1), "
    "and the voltage and temperature at which it is read.",
    "pacing": "`real_time`: a frame of the input arrives every `frame_period`; `back_to_back`: as soon as there is "
    "room.",
    "power": "Power domains: which parts are clocked and switched off together. A part in no domain has its clock "
    "gated while it is idle, and stays on.",
    "components": "The parts of the chip, each with a name of your own and a kind.",
    "channels": "Which part hands what to which. `capacity` and `latency`: a queue of so many tokens, which take so "
    "many cycles; `lockstep: true`: both work on the same job at the same time.",
    "arbitration": "Who goes first where several want a shared part: oldest_first, fixed_priority or round_robin.",
    "engines": "Groups of parts that run ops together; left out where every part of an engine is there once.",
    "placement": "Which engine runs which layers: a layer's name, a pattern such as `*.ff1`, or `op:conv`. "
    "`accelsim schedule` shows what comes of it.",
    "compiler": "How a network is compiled for an NPU.",
    "programming_runs": "How often memristor cells are programmed anew, to see how far the error rate spreads.",
    "operating_points": "Other clocks, voltages or paces, at which every run states time and cost too.",
    "calibrated": "Keys that were fitted, and to what. One that is changed is no longer called calibrated.",
    "assumptions": "What no source says and was chosen. It stands in every report: say here what you assume.",
    "ranges": "How far assumed sizes may be off; the intervals of energy and area take it up.",
}
"""What the keys of an architecture's file are, for one who reads it first."""

NETWORK_KEYS = {
    "name": "What the network is called in tables and reports.",
    "description": "What it is and how it was trained, in a sentence or two.",
    "weights": "Its integers, in a safetensors file beside this one. Without weights yet: "
    "`generated_weights: {seed: 1}` instead, without `reference_weights` and `score`, gives cycles, energy and area.",
    "generated_weights": "Weights drawn from a seed: they recognise nothing, and serve for cycles, energy and area. "
    "With trained ones: `weights: FILE.safetensors` instead.",
    "reference_weights": "The same network in float, which is scored beside the integers.",
    "reference_unit": "The float network reads (code - offset) / unit where the integers read codes.",
    "time_steps": "How often spiking layers run in each frame.",
    "input_bits": "Bits of a feature.",
    "feature_offset": "Ops that take real numbers read (code - feature_offset) * feature_scale.",
    "feature_scale": "Ops that take real numbers read (code - feature_offset) * feature_scale.",
    "chunk": "Rows of the output that a network which streams gives in a step.",
    "clips": "True: every utterance is one step, gives one row, and nothing goes from one to the next.",
    "rounding": "How ops that have an `output` make codes of their sums.",
    "inputs": "What is heard.",
    "graph": "The layers in order; each reads `features` or layers before it, by name.",
    "score": "How the outputs are scored. Without a score: cycles, energy and area alone.",
}
"""What the keys of a workload's file are, for one who reads it first."""

_OWN_RECORDINGS = (
    "Recordings of your own: `source: recordings` and `manifest: my.tsv` in the place of `dataset` and `split`, a "
    "table of paths and what is said in them; or `source: folder` and `path: FOLDER`. `accelsim data check my.tsv` "
    "says what is wrong with them."
)


def new_chip(name: str, begin: str | Path | None, out: str | Path | None = None) -> Path:
    """Write the file of a new chip that is the one ``begin`` but for its name, and return its path.

    Every key has a comment that says what it is, and every first part of a kind one with all keys of its kind. ``out``:
    the file, by default ``<name>.yaml``. Raises InputError for a name that is none, a file that is there already, a
    chip ``begin`` that does not load.
    """
    name = _named(name)
    file = _free(Path(out) if out is not None else Path(f"{name}.yaml"))
    path = find(_given(begin, "chip", names("arch")), "arch")
    chip, source = load_architecture(path), load_yaml(path)
    comments: dict[Location, str] = {(key,): text for key, text in CHIP_KEYS.items()}
    seen: set[str] = set()
    for part, spec in chip.components().items():
        if spec.kind not in seen:
            seen.add(spec.kind)
            comments["components", part] = f"{spec.kind}: {_doc(KINDS[spec.kind].spec)}\n\n{_left_out(spec)}"
    head = [
        f"A chip of your own, begun from {path.stem}. Change what you like, then:",
        "",
        f"  accelsim validate {file}     says what is wrong, line by line",
        f"  accelsim schedule {file}     says which layer runs where",
        f"  accelsim run {file}          or with another network: -w NETWORK",
        "",
        "For one run alone a key is set with -s, for example -s clocks.main.frequency='200 MHz'.",
    ]
    _write(file, _commented(source, name, head, comments))
    try:
        load_architecture(file)
    except InputError:
        file.unlink()  # it names files beside the one that it was made of
        raise
    return file


def new_network(name: str, begin: str | Path | None, out: str | Path | None = None) -> Path:
    """Write the folder of a new network that is the one ``begin`` but for its name, and return its path.

    It has workload.yaml, with a comment on every key and every first layer of a kind, and the files of tensors that it
    names. ``out``: the folder, by default ``<name>``. Raises InputError as `new_chip` does.
    """
    name = _named(name)
    folder = _free(Path(out) if out is not None else Path(name))
    path = find_workload(_given(begin, "network", workload_names()))
    source = load_yaml(path)
    if isinstance(source.data, dict) and "base" in source.data:
        hint = f"begin from '{path.parent.name}'"
        raise InputError([source.problem("this file changes a few keys of another one", ("base",), hint)])
    check_schema_tag(source, "workload")
    spec = parse(WorkloadSpec, source)
    comments: dict[Location, str] = {(key,): text for key, text in NETWORK_KEYS.items()}
    comments["inputs",] += f" {_doc(type(spec.inputs))}"
    if isinstance(spec.inputs, AudioInputs):
        comments["inputs",] += f"\n\n{_doc(AudioInputs)}\n\nFeatures: {_doc(type(spec.inputs.features))}"
        comments["inputs",] += f"\n\n{_OWN_RECORDINGS}"
    if spec.score is not None:
        comments["score",] += f" {_doc(type(spec.score))}"
    seen: set[str] = set()
    for place, item in enumerate(spec.graph):
        if item.op not in seen:
            seen.add(item.op)
            comments["graph", place] = f"{item.op}: {_doc(OPS[item.op])}\n\n{_left_out(item)}"
    head = [
        f"A network of your own, begun from {path.parent.name if path.stem == 'workload' else path.stem}, whose "
        "tensors lie beside this file. Change what you like, then:",
        "",
        f"  accelsim validate {folder / 'workload.yaml'}     says what is wrong, with the shapes of the tensors",
        f"  accelsim run CHIP -w {folder}     on a chip of `accelsim list`, or a file",
    ]
    text = _commented(source, name, head, comments)
    files = {"weights": spec.weights, "reference_weights": spec.reference_weights}
    places: dict[Location, str | None] = {(key,): file for key, file in files.items()}
    if spec.score is not None:
        places["score", "decoder"] = spec.score.decoder_file()
    for key in FILES_OF_INPUTS:
        if (data := getattr(spec.inputs, key, None)) is not None and not os.path.isabs(data):
            hint = "give its absolute path there first"
            raise InputError([source.problem(f"'{data}' is not found from another folder", ("inputs", key), hint)])
    copied = {}
    for where, one in places.items():
        if one is None or os.path.isabs(one):
            continue
        with source.at(where):
            if Path(one).name != one:
                raise InputError.of("a file that lies elsewhere is not copied", hint="put it beside the workload first")
            copied[one] = read_whole(path.parent / one, "data_bytes")
    for one, content in copied.items():
        with written_whole(folder / one) as file:
            file.write(content)
    _write(folder / "workload.yaml", text)
    return folder


def _named(name: str) -> str:
    try:
        return as_name(name)
    except ValueError as error:
        raise InputError.of(str(error)) from None


def _given(begin: str | Path | None, what: str, known: list[str]) -> str | Path:
    """Return what to begin from; raises InputError with all that is known where nothing is said."""
    if begin is None:
        raise InputError.of(f"which {what} is it to begin from?", hint=f"--from one of: {', '.join(known)}")
    return begin


def _free(path: Path) -> Path:
    """Return a path that nothing has yet, and that can be written."""
    if os.path.lexists(path):
        raise InputError.of(f"{path} is there already", hint="another name, or --out")
    check_writable(path.parent)
    return path


def _write(path: Path, text: str) -> None:
    with written_whole(path) as file:
        file.write(text.encode())


def _doc(model: type[Any]) -> str:
    """Return a docstring of a class itself as plain text, its code in single backticks."""
    text = inspect.cleandoc(vars(model).get("__doc__") or "").replace("``", "`")
    return printable_lines(text)


def _left_out(model: BaseModel) -> str:
    """Return the keys that a part of a file does not give, with what they are without it."""
    fields = type(model).model_fields
    told = []
    for key, field in fields.items():
        if key in model.model_fields_set or field.is_required():
            continue
        value = field.default
        plain = value is None or isinstance(value, bool | int | float | str)
        told.append(f"{field.alias or key} = {_shown(value)}" if plain else field.alias or key)
    return f"Left out here: {', '.join(told)}." if told else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _commented(source: Source, name: str, head: list[str], comments: Mapping[Location, str]) -> str:
    """Return the text of a file with another ``name``, a head, and comments above the keys that they belong to.

    Raises InputError for a file laid out so that a comment does not fit in, as one on a single line.
    """
    lines = file_bytes(source.path).decode("utf-8-sig").splitlines()
    above: dict[int, str] = {}
    for where, text in comments.items():
        number = source.line(where)
        if number is not None and _begins(lines[number - 1], where):
            above[number] = text
    first = source.line(("schema",)) or 1
    made = [*(f"# {printable(line)}".rstrip() if line else "#" for line in head)]
    for number, line in enumerate(lines, 1):
        if number < first and (not line or line.startswith("#")):
            continue  # what was said of the file that it is made of
        if number in above:
            indent = line[: len(line) - len(line.lstrip())]
            rest: list[str] = []
            while made and made[-1].startswith(f"{indent}#") and number != first:
                rest.insert(0, made.pop())  # the file's own comment on the key stays beside it
            made += [*([""] if not indent and made and made[-1] else []), *_wrapped(above[number], indent), *rest]
        made.append(f"name: {name}" if number == source.line(("name",)) else line)
    text = "\n".join(made) + "\n"
    try:
        same = parse_yaml(text, source.path).data == {**source.data, "name": name}
    except InputError:
        same = False
    if not same:
        hint = "write each of its keys on a line of its own"
        raise InputError([source.problem("comments do not fit into this file", ("name",), hint)])
    return text


def _begins(line: str, where: Location) -> bool:
    """Tell whether a line begins with the key or the item of a list that it is the place of."""
    key = where[-1]
    found = r"-\s" if isinstance(key, int) else rf"(['\"]?){re.escape(key)}\1\s*:"
    return re.match(rf"\s*{found}", line) is not None


def _wrapped(text: str, indent: str) -> Iterator[str]:
    """Yield a text as lines of comment; paragraphs that are indented, equations, keep their lines."""
    for number, paragraph in enumerate(one for one in text.split("\n\n") if one.strip()):
        if number and paragraph[:1].isspace():
            yield from (f"{indent}# {line}".rstrip() for line in paragraph.splitlines())
            continue
        joined = " ".join(paragraph.split())
        yield from textwrap.wrap(
            joined, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
