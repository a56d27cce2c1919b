"""What an importer of a model format is, what it gives, and the one place that writes it as a workload.

An importer stands in one file of this package, or in a plug-in, and registers itself in `IMPORTERS` by the name of its
format. It reads a file of others, so it trusts nothing in it: whatever is wrong with one is an InputError.
"""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from accelsim import limits
from accelsim.data.files import beside, is_file
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.importers.written import table
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES
from accelsim.registry import Registry
from accelsim.result import check_writable, written_whole
from accelsim.schema import Model, parse, parse_yaml
from accelsim.schema.names import LONGEST_LABEL, Label
from accelsim.schema.written import as_yaml
from accelsim.text import in_markdown, printable
from accelsim.weights import save_weights
from accelsim.workload import Workload, load_workload

LARGEST_FILE = 100_000_000
"""Bytes of the largest model file that is read unless more is asked for."""
LONGEST_NAME = 200
"""Letters of a node's name that are said, and kept."""
NO_FILE = "features.npz"
"""The file of features that a workload reads whose inputs are not said."""

How = Literal["exact", "approximate"]


class Options(Model):
    """What every importer can be told about the inputs of the workload that it writes.

    ``dataset``, ``split``, ``features``: recorded speech, as `inputs` of a workload names it; ``recordings``: of one's
    own in its place, a manifest or a folder; ``frame_period``: of the file of features that it reads instead where no
    speech is named. ``name``: of the workload.
    """

    dataset: str | None = None
    recordings: str | None = None
    split: str = "test"
    features: str = "log_mel"
    frame_period: str = "10 ms"
    name: Label | None = None

    def named(self, path: Path) -> str:
        """Return the name of the workload: that of the model's file, as far as it can be shown, where none is given."""
        return self.name or printable(path.stem).strip()[:LONGEST_LABEL].strip() or "network"

    @model_validator(mode="after")
    def _one_source(self) -> Options:
        if self.dataset is not None and self.recordings is not None:
            raise ValueError("'dataset' and 'recordings': give one of them")
        return self

    def hears(self) -> bool:
        """Return whether the network reads features of speech that is named, not a file of features."""
        return self.dataset is not None or self.recordings is not None

    def inputs(self, width: int) -> dict[str, Any]:
        """Return the ``inputs`` of a workload whose network reads rows of so many features."""
        if not self.hears():
            return {"source": "file", "path": NO_FILE, "frame_period": self.frame_period, "width": width}
        features: dict[str, Any] = {"kind": self.features}
        if self.features == "log_mel":
            features["bands"] = width
        if self.recordings is None:
            return {"source": "speech", "dataset": self.dataset, "split": self.split, "features": features}
        place, folder = os.path.abspath(self.recordings), os.path.isdir(self.recordings)
        named = {"source": "folder", "path": place} if folder else {"source": "recordings", "manifest": place}
        return {**named, "features": features}


@dataclass(frozen=True)
class Note:
    """What became of one node of a model: its name, its op, our ops, and whether they compute the same.

    ``ours``: the names of the ops that compute it, or of those that it was folded into; ``remark``: how, where that is
    not plain.
    """

    node: str
    op: str
    ours: tuple[str, ...]
    how: How = "exact"
    remark: str = ""


@dataclass
class Imported:
    """A network as an importer understands it: a workload's keys, its tensors, and what became of each node.

    ``workload``: all keys but ``weights`` and ``reference_weights``; ``remarks``: what holds for the whole network;
    ``inputs``: arrays of the file of features that is written beside it, where the importer has some.
    """

    workload: dict[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    reference: Mapping[str, NDArray[Any]] | None = None
    notes: Sequence[Note] = ()
    remarks: Sequence[str] = ()
    inputs: Mapping[str, NDArray[Any]] | None = None


class Importer(ABC):
    """A format of model files. Subclasses read it.

    ``suffixes``: what the names of its files end in; ``needs``: the module that reads them, and the distribution that
    has it; ``options``: what it can be told.
    """

    suffixes: ClassVar[tuple[str, ...]]
    what: ClassVar[str]
    needs: ClassVar[tuple[str, str] | None] = None
    options: ClassVar[type[Options]] = Options

    @abstractmethod
    def read(self, path: Path, options: Any, largest: int = LARGEST_FILE) -> Imported:
        """Return the network of a file, whose size is checked; raises InputError with all that cannot be taken."""


IMPORTERS: Registry[type[Importer]] = Registry("accelsim.importers", "model format", builtin="accelsim.importers")
"""Every importer by the name of its format."""


@dataclass
class Refusals:
    """Nodes of a model that cannot be taken, collected until `stop`; ``values``: of the tensors made so far."""

    file: Path
    found: list[Problem] = field(default_factory=list)
    values: int = 0

    def add(self, node: str, op: str, reason: str, hint: str | None = None) -> None:
        """Note a node that cannot be taken."""
        self.found.append(
            Problem(f"node '{node[:LONGEST_NAME]}' ({op[:LONGEST_NAME]}): {reason}", self.file, hint=hint)
        )

    def count(self, tensors: Iterable[NDArray[Any]]) -> None:
        """Count what tensors hold; raises InputError where all so far are over the limit.

        A small file may name one constant as the weights of many nodes, and each node gets its own.
        """
        self.values += sum(tensor.size for tensor in tensors)
        limits.check("model_values", self.values, file=self.file)

    def stop(self) -> None:
        """Raise InputError with all that were noted, if any."""
        if self.found:
            raise InputError(self.found)


def import_model(
    path: str | Path, settings: Mapping[str, Any] | None = None, *, format: str | None = None,
    largest: int = LARGEST_FILE,
) -> Imported:  # fmt: skip
    """Return the network of a model file of any known format, told by its suffix unless it is given.

    ``settings``: options of the format; ``largest``: bytes of the largest file that is read. Raises InputError for
    unknown formats and options, for what is too large, damaged, or of no use here, each node by its name.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError.of(f"no such model file: {path}", hint=did_you_mean(path.name, beside(path)))
    size = path.stat().st_size
    if size > largest:
        raise InputError.of(
            f"a model file of {size / 1e6:.1f} MB, at most {largest / 1e6:g} MB are read", file=path,
            hint="--max-size MB raises the limit",
        )  # fmt: skip
    importer = IMPORTERS[format if format is not None else format_of(path)]
    options = parsed(importer.options, settings or {})
    if importer.needs is not None:
        module, distribution = importer.needs
        try:
            import_module(module)
        except ImportError:
            hint = f"pip install 'accelsim-speech[import]', or {distribution}"
            raise InputError.of(f"reading {importer.what} needs the package {distribution}", hint=hint) from None
    return importer().read(path, options, largest)


def format_of(path: Path) -> str:
    """Return the format of a file by its suffix; raises InputError for an unknown one."""
    known = {suffix: name for name, importer in IMPORTERS.items() for suffix in importer.suffixes}
    if path.suffix.lower() not in known:
        hint = f"known are {', '.join(sorted(known))}; --format {'|'.join(IMPORTERS)} says it"
        raise InputError.of(f"no model format has the suffix '{path.suffix}'", file=path, hint=hint)
    return known[path.suffix.lower()]


def parsed(options: type[Options], settings: Mapping[str, Any]) -> Options:
    """Return checked options; raises InputError that names each wrong one as the command line does."""
    try:
        return parse(options, parse_yaml(as_yaml(dict(settings))))
    except InputError as error:
        known = {name: f"--{name.replace('_', '-')}" for name in settings}
        problems = []
        for problem in error.problems:
            message = problem.message.replace("unknown key", "this format has no option")
            for name, flag in known.items():
                message = message.replace(f"'{name}'", f"'{flag}'")
            problems.append(Problem(message, hint=problem.hint))
        raise InputError(problems) from None


def mapped(path: Path) -> NDArray[np.uint8]:
    """Map a file into memory to be read, so that only what is looked at is loaded; raises InputError if it is empty.

    It stays mapped as long as something reads it: what is to be kept is copied.
    """
    if not path.stat().st_size:
        raise InputError.of("an empty file", file=path)
    return np.memmap(path, np.uint8, "r")


class Names:
    """Names of ops, each once: the model's own, a number behind those that are taken."""

    def __init__(self, taken: Iterable[str] = (FEATURES,)) -> None:
        self.taken = set(taken)
        self._last: dict[str, int] = {}

    def new(self, name: str) -> str:
        """Return a name that nothing has yet, that of a node if it is free; names are one printable line."""
        name = re.sub(r"[^\x21-\x7e]+", "_", name)[:LONGEST_NAME] or "node"
        found, number = name, self._last.get(name, 1)
        while found in self.taken:
            number += 1
            found = f"{name}#{number}"
        self._last[name] = number
        self.taken.add(found)
        return found


@dataclass(frozen=True)
class Size:
    """How large a network is: multiply-accumulates for a row of its outputs, parameters, and values of state.

    ``state_values``: rows of their inputs that ops keep from one row to the next, and what they carry beside them.
    """

    macs: float
    parameters: int
    state_values: int


def size_of(graph: Graph, tensors: Mapping[str, NDArray[Any]]) -> Size:
    """Return the size of a network.

    Multiply-accumulates of a row of the outputs: those of all matrices (`Op.products`) in all rows that an op makes for
    it; the products of attention between rows are not among them. Parameters: weights and biases, each once.
    """
    macs, state, learned = 0.0, 0, set()
    for op in graph.ops:
        read, given = graph.read(op), graph.edges[op.name]
        macs += op.products(read, given) * graph.given.stride / given.stride
        window = op.window(read)
        if read and not window.ahead and not window.whole:
            state += window.behind * read[0].width
        state += sum(math.prod(shape) for shape in op.state(read).values())
        ends = (end for end in op.shapes(read) if end not in op.constants and not end.endswith("_scale"))
        learned |= {op.tensor_name(end) for end in ends} & set(tensors)
    return Size(macs, sum(tensors[name].size for name in learned), state)


def write(imported: Imported, folder: str | Path) -> Workload:
    """Write a network as workload.yaml, weights.safetensors and import.md into a folder, and return it, checked.

    A float network beside it goes to reference.safetensors. Raises InputError for what is no workload.
    """
    folder = Path(folder)
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    workload = dict(imported.workload)
    files: dict[str, Any] = {"weights": "weights.safetensors"}
    save_weights(folder / "weights.safetensors", imported.tensors)
    if imported.reference is not None:
        files["reference_weights"] = "reference.safetensors"
        save_weights(folder / "reference.safetensors", imported.reference)
    if imported.inputs is not None:
        with written_whole(folder / NO_FILE) as file:
            arrays: dict[str, Any] = dict(imported.inputs)
            np.savez_compressed(file, **arrays)
    first = ("name", "description")
    # Both may have the name of the file in them, which may be no text at all.
    head: dict[str, Any] = {key: printable(workload.pop(key)) for key in first if key in workload}
    text = as_yaml({"schema": "accelsim/workload@1", **head, **files, **workload})
    with written_whole(folder / "workload.yaml") as file:
        file.write(text.encode())
    made = load_workload(folder)
    with written_whole(folder / "import.md") as file:
        file.write(_page(imported, made).encode())
    return made


def _page(imported: Imported, made: Workload) -> str:
    """Return import.md: what was made of the model, node by node."""
    size = size_of(made.graph, made.tensors)
    approximate = [note for note in imported.notes if note.how == "approximate"]
    lines = [
        f"# {in_markdown(made.spec.name)}",
        "",
        in_markdown(made.spec.description),
        "",
        *(f"- {in_markdown(remark)}" for remark in imported.remarks),
        f"- {len(imported.notes)} nodes: {len(imported.notes) - len(approximate)} exact, {len(approximate)} "
        f"approximate; {len(made.graph.ops)} ops here.",
        f"- {size.macs:,.0f} multiply-accumulates for a row of the outputs, {size.parameters:,} parameters, "
        f"{size.state_values:,} values of state.",
        "",
        *table(
            ("node", "op", "here", "how", "remark"),
            [(note.node, note.op, ", ".join(note.ours), note.how, note.remark) for note in imported.notes],
        ),
    ]
    return "\n".join(lines) + "\n"
