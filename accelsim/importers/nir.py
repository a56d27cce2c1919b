"""Spiking networks in the Neuromorphic Intermediate Representation (NIR 1.0.8, an HDF5 file).

A file holds differential equations. It does not hold the time step, whether a spike subtracts the threshold or sets the
membrane back, or whether a membrane takes the current of this time step or the one before: these are asked for. By
Euler's method, with a = dt / tau_syn and m = dt / tau_mem:

    I = I + a (w_in x - I);  v = v + m (v_leak + r I - v);  z = (v > v_threshold);  then v is reset

An utterance begins with I = 0, v = v_leak. The float network computes this as Norse 1.1.0 does. The quantised one has
the factors a w_in m r in its weights, and a scale for each neuron: U = s v, so that s goes into its threshold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.data.from_file import read_features
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.importers.hdf5 import READER, Tree
from accelsim.importers.importer import (
    IMPORTERS,
    LARGEST_FILE,
    NO_FILE,
    Imported,
    Importer,
    Names,
    Note,
    Options,
    Refusals,
)
from accelsim.ops.graph import Graph
from accelsim.ops.op import FEATURES, Datapath, Op, Signal, largest_weight
from accelsim.schema import parse, parse_yaml
from accelsim.schema.quantity import FramePeriod
from accelsim.schema.written import as_yaml
from accelsim.workload import WorkloadSpec

NEURONS = frozenset({"LIF", "CubaLIF", "IF", "Threshold"})
READOUTS = frozenset({"LI", "I"})
LINEAR = frozenset({"Linear", "Affine", "Scale", "Flatten", "Delay"})
MOST_NODES, MOST_EDGES = 2_000, 4_000
MOST_ON_THE_WAY, MOST_WAYS = 100, 4_000
"""Linear nodes between two layers, and ways from node to node through them."""
LARGEST_MATRIX, LARGEST_BUILT = 1 << 24, 1 << 22
"""Weights of the largest matrix of a file, and of one that is built of several, or of none."""
ROOM_BITS = 3
"""A membrane's word holds 2^3 thresholds."""
FRACTION_BITS = 3
"""The last bit of a weight is 2^3 of a membrane, where the words allow it."""
MOST_PRODUCTS = 2_000_000_000
"""Of the comparison on random inputs, which has fewer utterances for a large network."""
MOST_DRAWN = 1 << 25
"""Spikes of the widest layer in it."""
LOSS = 256
"""A threshold is so many times what leaks round off a membrane on average, where the words allow it."""


WeightBits = Annotated[int, Ge(2), Le(8)]


class NirOptions(Options):
    """What a NIR file does not say, and how its network becomes integers.

    ``dt``: the time step; ``reset``: ``subtract`` the threshold, or to ``zero``, that is v_reset; ``order``: whether a
    membrane takes the ``new`` synaptic current or the ``old`` one. ``bits``: of weights, one number or by the names of
    neurons and readouts, ``all`` for the others; ``leak_bits``: leaks are multiples of 2^-leak_bits; ``state_bits``: of
    membranes and synaptic currents; both are as many as a layer's time constants need, 12 to 16 and 16 to 31, unless
    they are given.
    ``spikes``: a file of inputs on which the change in spikes is measured; without it up to ``utterances`` of ``rows``
    time steps are drawn, an input spiking in each with probability ``rate``.
    """

    dt: FramePeriod | None = None
    reset: Literal["subtract", "zero"] | None = None
    order: Literal["new", "old"] | None = None
    bits: WeightBits | dict[str, WeightBits] = 8
    leak_bits: Annotated[int, Ge(1), Le(16)] | None = None
    state_bits: Annotated[int, Ge(8), Le(31)] | None = None
    spikes: str | None = None
    utterances: PositiveInt = 20
    rows: PositiveInt = 100
    rate: Annotated[float, Gt(0), Le(1)] = 0.1
    seed: Annotated[int, Ge(0)] = 0

    def bits_of(self, name: str) -> int:
        """Return the bits of the weights over which a node's currents come."""
        return self.bits if isinstance(self.bits, int) else self.bits.get(name, self.bits.get("all", 8))


@dataclass
class Path_:
    """What comes from one source of spikes through linear nodes: x M, d time steps later.

    ``matrix``: [inputs, outputs], None where spikes come as they are; ``delays``: [inputs, 1 or outputs], or None.
    """

    matrix: NDArray[np.float64] | None = None
    delays: NDArray[np.int64] | None = None


@dataclass
class Sum:
    """What arrives at a node: the paths by their sources, a bias, and the nodes on the way.

    ``products``: nodes whose weights were multiplied together.
    """

    paths: dict[str, Path_] = field(default_factory=dict)
    bias: NDArray[np.float64] | None = None
    through: list[str] = field(default_factory=list)
    products: list[str] = field(default_factory=list)


class Nir(Importer):
    """NIR files."""

    suffixes = (".nir",)
    what = "NIR files"
    needs = ("nir", "nir")
    options = NirOptions

    def read(self, path: Path, options: Any, largest: int = LARGEST_FILE) -> Imported:
        """Return the network of a NIR file; raises InputError with all that cannot be taken."""
        tree = READER.read(path, largest)
        if not isinstance(tree.get("node"), dict):
            raise InputError.of("no NIR file: it has no group 'node'", file=path)
        nodes, edges = _flat(path, tree["node"])
        network = _Network(path, nodes, edges, options)
        network.refused.count(value for node in nodes.values() for value in vars(node).values()
                              if isinstance(value, np.ndarray))  # fmt: skip
        return network.imported()


def _flat(path: Path, root: Tree) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the nodes of a graph and its edges, those of graphs within it among them, as nir itself reads them."""
    import nir

    _check_size(path, root)
    if "type_check" in root:
        raise InputError.of("no NIR file: 'type_check' is no part of a graph", file=path)
    try:
        with np.errstate(all="ignore"):  # of numbers that are none
            graph = nir.dict2NIRNode(_as_written(root))
        if not isinstance(graph, nir.NIRGraph):
            raise ValueError(f"the outermost node is a {type(graph).__name__}, not a graph")
    except Exception as error:  # nir checks by assert, KeyError, TypeError, ValueError
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
        raise InputError.of(f"nir {nir.version} cannot read it: {said}", file=path) from None
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []

    def add(graph: Any, prefix: str) -> None:
        inner = {}
        for name, node in graph.nodes.items():
            if isinstance(node, nir.NIRGraph):
                inner[name] = node
                add(node, f"{prefix}{name}.")
            else:
                nodes[f"{prefix}{name}"] = node
        for source, target in graph.edges:
            ends = [
                [f"{name}.{port}" for port in getattr(inner[name], ports)] if name in inner else [name]
                for name, ports in ((source, "outputs"), (target, "inputs"))
            ]
            edges.extend((f"{prefix}{a}", f"{prefix}{b}") for a in ends[0] for b in ends[1])

    add(graph, "")
    return nodes, edges


def _check_size(path: Path, root: Tree) -> None:
    nodes = edges = 0
    waiting = [root]
    while waiting:
        group = waiting.pop()
        inner = group.get("nodes")
        edges += len(group["edges"]) if isinstance(group.get("edges"), list) else 0
        if isinstance(inner, dict):
            nodes += len(inner)
            waiting += [one for one in inner.values() if isinstance(one, dict)]
    if nodes > MOST_NODES or edges > MOST_EDGES:
        raise InputError.of(
            f"{nodes:,} nodes and {edges:,} edges, at most {MOST_NODES:,} and {MOST_EDGES:,} are read", file=path
        )


def _as_written(group: Tree) -> Tree:
    """Return a group as nir reads it: numbers without dimensions as scalars."""
    return {
        name: _as_written(item) if isinstance(item, dict) else item[()] if isinstance(item, np.ndarray) else item
        for name, item in group.items()
    }


class _Network:
    """A NIR graph on its way to a workload."""

    def __init__(self, path: Path, nodes: dict[str, Any], edges: list[tuple[str, str]], options: NirOptions) -> None:
        self.path, self.nodes, self.options = path, nodes, options
        self.into: dict[str, list[str]] = {name: [] for name in nodes}
        self.out_of: dict[str, list[str]] = {name: [] for name in nodes}
        for source, target in edges:
            self.into[target].append(source)
            self.out_of[source].append(target)
        self.refused = Refusals(path)
        self.names = Names()
        self.name_of: dict[str, str] = {}
        self.ops: list[dict[str, Any]] = []
        self.tensors: dict[str, NDArray[Any]] = {}
        self.reference: dict[str, NDArray[Any]] = {}
        self.notes: dict[str, Note] = {}
        self.state_bits = self.ways = 0

    def kind(self, name: str) -> str:
        """Return what a node is, by its name in NIR."""
        return type(self.nodes[name]).__name__

    def refuse(self, name: str, reason: str, hint: str | None = None) -> None:
        """Note a node that cannot be taken."""
        self.refused.add(name, self.kind(name), reason, hint)

    def imported(self) -> Imported:
        """Return the network as a workload; raises InputError with everything that cannot be taken."""
        source, sink = self._ends()
        self._check_nodes()
        self._check_options()
        self.refused.stop()
        order = self._order(source, sink)
        self.refused.stop()
        self.name_of[source] = FEATURES
        for name in order:
            self._neurons(name)
        self._outputs(sink)
        self.refused.stop()
        width = _size(self.nodes[source].input_type["input"])
        return self._finished(width)

    # -- checks --------------------------------------------------------------------------------------------------------

    def _ends(self) -> tuple[str, str]:
        """Return the input and the output; those of graphs within the graph are not among them."""
        found = []
        for kind, edges in (("Input", self.into), ("Output", self.out_of)):
            names = [name for name in self.nodes if self.kind(name) == kind and not edges[name]]
            if len(names) != 1:
                listed = ", ".join(f"'{name}'" for name in names) or "none"
                raise InputError.of(f"expected one {kind.lower()}, found {listed}", file=self.path)
            found.append(names[0])
        return found[0], found[1]

    def _check_nodes(self) -> None:
        for name, node in self.nodes.items():
            kind = self.kind(name)
            if kind not in {*NEURONS, *READOUTS, *LINEAR, "Input", "Output"}:
                known = ", ".join(sorted({*NEURONS, *READOUTS, *LINEAR}))
                self.refuse(name, "no op here computes it on spikes", f"taken are {known}")
                continue
            for key, value in vars(node).items():
                if key in ("input_type", "output_type"):
                    for shape in (value or {}).values():
                        self._check_shape(name, key, shape)
                elif isinstance(value, np.ndarray | np.generic | float | int) and not isinstance(value, bool):
                    self._check_numbers(name, key, np.asarray(value))
                    self._check_each(name, key, np.asarray(value))
                elif key not in ("metadata", "start_dim", "end_dim"):
                    self.refuse(name, f"'{key}' is {type(value).__name__}, expected numbers")

    def _check_shape(self, name: str, key: str, shape: Any) -> None:
        if shape is None:
            self.refuse(name, f"its {key.replace('_', ' ')} is not known")
            return
        sizes = np.asarray(shape)
        if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or not sizes.size or sizes.min() < 1:
            self.refuse(name, f"its {key.replace('_', ' ')} is {np.asarray(shape).tolist()}"[:200])
        elif math.prod(sizes.tolist()) > 65_536:
            self.refuse(name, f"{math.prod(sizes.tolist()):,} values, at most 65,536 are taken")

    def _check_each(self, name: str, key: str, values: NDArray[Any]) -> None:
        """Note constants of neurons that are neither one nor as many as these are."""
        shape = (self.nodes[name].output_type or {}).get("output")
        width = 0 if shape is None or np.asarray(shape).dtype.kind not in "iu" else _size(shape)
        if self.kind(name) in NEURONS | READOUTS and values.size not in (1, width):
            self.refuse(name, f"'{key}' holds {values.size} numbers for {width} neurons")

    def _check_numbers(self, name: str, key: str, values: NDArray[Any]) -> None:
        if values.dtype.kind not in "iuf" or not values.size:
            self.refuse(name, f"'{key}' holds {values.size} of {values.dtype}, expected numbers")
        elif not np.isfinite(values).all() or np.abs(values.astype(np.float64)).max() > 1e30:
            self.refuse(name, f"'{key}' holds NaN, infinity or numbers beyond 1e30")
        elif key.startswith("tau") and (values <= 0).any():
            self.refuse(name, f"'{key}' must be above 0 s, found {values.min():g}")
        elif key == "delay" and (values < 0).any():
            self.refuse(name, f"'{key}' must be at least 0 s, found {values.min():g}")
        elif key == "weight" and values.size > LARGEST_MATRIX:
            self.refuse(name, f"{values.size:,} weights, at most {LARGEST_MATRIX:,} are taken")
        elif key == "weight" and (values.ndim != 2 and self.kind(name) in ("Linear", "Affine")):
            self.refuse(name, f"weights of shape {list(values.shape)}, expected [outputs, inputs]")
        elif key == "bias" and values.shape != self.nodes[name].weight.shape[:1]:
            self.refuse(name, f"a bias of shape {list(values.shape)} for weights {list(self.nodes[name].weight.shape)}")

    def _check_options(self) -> None:
        """Note what is not said and must be: no file says it, and every choice gives other spikes."""
        kinds = {self.kind(name) for name in self.nodes}
        missing = []
        if self.options.hears():
            said = "--recordings" if self.options.dataset is None else "--dataset"
            message = f"a network of spikes does not hear recordings: leave out {said}, and give spikes in a file"
            self.refused.found.append(Problem(message, self.path, hint="-O spikes=FILE.npz"))
        if isinstance(self.options.bits, dict):
            known = ["all", *self.nodes]
            for name in [name for name in self.options.bits if name not in known]:
                message, hint = f"--bits names '{name}', which is no node", did_you_mean(name, known)
                self.refused.found.append(Problem(message, self.path, hint=hint))
        if self.options.dt is None and kinds & {"LIF", "CubaLIF", "IF", "LI", "I", "Delay"}:
            missing.append(("--dt", "the time step, as '1 ms' or '0.1 ms'"))
        if self.options.reset is None and kinds & {"LIF", "CubaLIF", "IF"}:
            missing.append(("--reset", "subtract (the threshold) or zero (to v_reset)"))
        if self.options.order is None and "CubaLIF" in kinds:
            missing.append(("--order", "new or old: which synaptic current a membrane takes"))
        for option, what in missing:
            self.refused.found.append(Problem(f"a NIR file does not say it: give {option}, {what}", self.path))
        dt = self.options.dt or 0.0
        for name, node in self.nodes.items():
            for key in ("tau", "tau_syn", "tau_mem"):
                tau = getattr(node, key, None)
                if isinstance(tau, np.ndarray) and tau.size and tau.dtype.kind in "iuf" and 0 < tau.min() < dt:
                    self.refuse(name, f"a time step of {dt:g} s is longer than '{key}', {tau.min():g} s")

    def _order(self, source: str, sink: str) -> list[str]:
        """Return the neurons and readouts in the order in which spikes go through them."""
        active = [name for name in self.nodes if self.kind(name) in NEURONS | READOUTS]
        reads: dict[str, set[str]] = {}
        for name in [*active, sink]:
            reads[name] = set(self.arrives(name).paths) - {name}
            if len(reads[name]) != 1:
                found = ", ".join(f"'{one}'" for one in sorted(reads[name])) or "none"
                self.refuse(name, f"it reads spikes of one node beside its own, found {found}")
        self.refused.stop()
        readers = Counter(one for few in reads.values() for one in few)
        for name in active:
            if self.kind(name) in READOUTS and (readers[name] != 1 or reads[sink] != {name}):
                self.refuse(name, "its numbers can be outputs alone")
        self.refused.stop()
        chain, name = [], next(iter(reads[sink]))
        seen: set[str] = set()
        waiting = [*active]
        placed = {source}
        while waiting:
            ready = [one for one in waiting if reads[one] <= placed]
            if not ready:
                for one in waiting:
                    self.refuse(one, "it is part of a loop over several layers, or no input reaches it")
                self.refused.stop()
            chain += ready
            placed |= set(ready)
            waiting = [one for one in waiting if one not in placed]
        while name != source:
            seen.add(name)
            name = next(iter(reads[name]))
        for one in chain:
            if one not in seen:
                self.refuse(one, "nothing of it reaches the output")
        return chain

    # -- what arrives at a node ----------------------------------------------------------------------------------------

    def arrives(self, name: str) -> Sum:
        """Return the sum of what comes over the edges into a node; notes what cannot be taken."""
        total = Sum()
        for source in self.into[name]:
            self._join(name, total, self._given(source, (name,)))
        return total

    def _given(self, name: str, behind: tuple[str, ...]) -> Sum:
        """Return what a node gives, as sums of spikes; ``behind``: the linear nodes from here on."""
        kind = self.kind(name)
        self.ways += 1
        if kind in NEURONS | READOUTS or (kind == "Input" and not self.into[name]):
            return Sum({name: Path_()})
        if self.ways > MOST_WAYS or len(behind) > MOST_ON_THE_WAY:
            if self.ways <= MOST_WAYS + 1:
                self.refuse(name, f"more than {MOST_ON_THE_WAY} linear nodes in a row, or {MOST_WAYS:,} ways")
            return Sum()
        if name in behind:
            self.refuse(name, "a loop without neurons")
            return Sum()
        came = Sum()
        for source in self.into[name]:
            self._join(name, came, self._given(source, (*behind, name)))
        came.through.append(name)
        if kind in ("Linear", "Affine"):
            self._weighted(name, came)
        elif kind == "Scale":
            scale = self.nodes[name].scale.astype(np.float64).reshape(-1)
            for path in came.paths.values():
                if path.matrix is None:
                    path.matrix = self._unit(name, len(scale)) * scale
                else:
                    path.matrix = path.matrix * scale
            came.bias = None if came.bias is None else came.bias * scale
        elif kind == "Delay":
            self._later(name, came)
        return came

    def _weighted(self, name: str, came: Sum) -> None:
        node = self.nodes[name]
        weight = node.weight.astype(np.float64).T
        for path in came.paths.values():
            if path.matrix is not None:
                came.products.append(name)
                if path.delays is not None and path.delays.shape[1] > 1:
                    self.refuse(name, "it adds up currents of several delays")
                if path.matrix.shape[0] * weight.shape[1] > LARGEST_BUILT or path.matrix.shape[1] != len(weight):
                    self.refuse(name, "a product of matrices that do not fit, or too large to be made")
                    continue
            path.matrix = weight if path.matrix is None else path.matrix @ weight
        if came.bias is not None:
            came.bias = came.bias @ weight
        if self.kind(name) == "Affine":
            bias = node.bias.astype(np.float64).reshape(-1)
            came.bias = bias if came.bias is None else came.bias + bias

    def _later(self, name: str, came: Sum) -> None:
        steps = self.nodes[name].delay.astype(np.float64).reshape(-1) / (self.options.dt or 1.0)
        whole = np.rint(steps)
        if np.abs(steps - whole).max() > 1e-6 * max(1.0, whole.max()) or whole.max() > 100_000:
            self.refuse(name, "its delays are no whole time steps, or more than 100,000")
            return
        if came.bias is not None and whole.any():
            self.refuse(name, "it delays a bias, which has no beginning here")
        for path in came.paths.values():
            more = whole.astype(np.int64)
            more = more[:, None] if path.matrix is None else more[None, :]
            inputs = len(more) if path.matrix is None else len(path.matrix)
            if inputs * more.shape[1] > LARGEST_BUILT:
                self.refuse(name, "more delays than are taken")
                continue
            before = np.zeros((1, 1), np.int64) if path.delays is None else path.delays
            path.delays = np.broadcast_to(more, (inputs, more.shape[1])) + before

    def _join(self, name: str, total: Sum, more: Sum) -> None:
        for source, path in more.paths.items():
            if source not in total.paths:
                total.paths[source] = path
                continue
            other = total.paths[source]
            if other.delays is not None or path.delays is not None:
                self.refuse(name, f"spikes of '{source}' come over two ways, one of them later")
                continue
            one, two = (self._unit(name, self._width(source)) if p.matrix is None else p.matrix for p in (other, path))
            if one.shape != two.shape:
                self.refuse(name, f"ways of {list(one.shape)} and {list(two.shape)} weights from '{source}' end here")
                continue
            total.paths[source] = Path_(one + two)
            total.products.append(name)
        if more.bias is not None and total.bias is not None and more.bias.shape != total.bias.shape:
            self.refuse(name, f"biases of {more.bias.size} and of {total.bias.size} numbers arrive")
        elif more.bias is not None:
            total.bias = more.bias if total.bias is None else total.bias + more.bias
        total.through += more.through
        total.products += more.products

    def _unit(self, name: str, width: int) -> NDArray[np.float64]:
        """Return the matrix of spikes that arrive as they are."""
        if width * width > LARGEST_BUILT:
            self.refuse(name, f"{width:,} spikes arrive one by one: a matrix of so many is too large to be made")
            return np.zeros((width, 1))
        return np.eye(width)

    def _width(self, name: str) -> int:
        return _size(self.nodes[name].output_type["output"])

    # -- ops -----------------------------------------------------------------------------------------------------------

    def _split(self, name: str) -> tuple[Sum, Sum]:
        """Return what comes from the layer before, and what from the node's own spikes."""
        before, again = Sum(), Sum()
        for source in self.into[name]:
            given = self._given(source, (name,))
            self._join(name, again if set(given.paths) == {name} else before, given)
        if name in before.paths:
            self.refuse(name, "its own spikes and others' share a linear node on their way")
        return before, again

    def _neurons(self, name: str) -> None:
        if self.kind(name) in READOUTS:
            self._readout(name)
            return
        node, options = self.nodes[name], self.options
        before, again = self._split(name)
        width = self._width(name)
        source, path = next(iter((s, p) for s, p in before.paths.items() if s != name))
        weight = self._matrix(name, path, self._width(source), width)
        recurrent = None
        if again.paths:
            if again.paths[name].delays is not None:
                self.refuse(name, "its own spikes come back later than by a time step")
            recurrent = self._matrix(name, again.paths[name], width, width)
        if self.refused.found:
            return
        cell = _Cell(self.kind(name), node, width, options)
        if problem := cell.problem():
            self.refuse(name, problem)
            return
        op = self.names.new(name)
        self.name_of[name] = op
        keys: dict[str, Any] = {
            "name": op, "op": "lif", "input": self.name_of[source], "neurons": width,
            "recurrent": recurrent is not None,
        }  # fmt: skip
        delays = None
        if path.delays is not None and path.delays.any():
            delays = path.delays
            same = bool((delays == delays[:, :1]).all())
            delays = delays[:, 0] if same else np.broadcast_to(delays, weight.shape)
            keys["delays"] = int(delays.max())
        biases = {
            end: None if one.bias is None else np.broadcast_to(one.bias, (width,))
            for end, one in (("bias", before), ("recurrent_bias", again))
        }
        self._float(op, cell, weight, recurrent, biases, delays)
        keys |= self._integers(op, cell, weight, recurrent, biases, delays)
        self.ops.append(keys)
        self._say(name, op, before, again)

    def _matrix(self, name: str, path: Path_, inputs: int, outputs: int) -> NDArray[np.float64]:
        matrix = self._unit(name, inputs) if path.matrix is None else path.matrix
        if matrix.shape != (inputs, outputs):
            self.refuse(name, f"weights of {list(matrix.shape)} arrive, expected {[inputs, outputs]}")
        return matrix

    def _float(
        self, op: str, cell: _Cell, weight: NDArray[Any], recurrent: NDArray[Any] | None,
        biases: Mapping[str, NDArray[Any] | None], delays: NDArray[Any] | None,
    ) -> None:  # fmt: skip
        """Put the tensors of a layer's float network down: weights as the file has them, constants of each neuron."""
        found = {"weight": weight, "recurrent_weight": recurrent, **biases, **cell.float_tensors()}
        for end, values in found.items():
            if values is not None:
                self.reference[f"{op}.{end}"] = np.ascontiguousarray(values, np.float32)
        if delays is not None:
            self.reference[f"{op}.delays"] = np.ascontiguousarray(delays, np.int32)

    def _integers(
        self, op: str, cell: _Cell, weight: NDArray[Any], recurrent: NDArray[Any] | None,
        biases: Mapping[str, NDArray[Any] | None], delays: NDArray[Any] | None,
    ) -> dict[str, Any]:  # fmt: skip
        """Put the integer tensors of a layer down and return its keys.

        Weights of neuron j are s_j g_j w rounded and clamped, g = a w_in m r, with the s_j that is nearest in squares.
        A recurrent matrix has a power of two of its own beside it.
        """
        options, width = self.options, self.options.bits_of(op)
        top = largest_weight(width)
        fed = weight * cell.gain
        again = np.zeros((0, len(cell.gain))) if recurrent is None else recurrent * cell.gain
        largest = np.abs(fed).max(axis=0)
        of_own = np.abs(again).max(axis=0, initial=0.0)
        both = (largest > 0) & (of_own > 0)
        places = int(np.clip(np.rint(np.log2(np.median(of_own[both] / largest[both]))), -8, 8)) if both.any() else 0
        need = np.maximum(largest, of_own * 2.0**-places)
        scale = _scales(np.concatenate([fed, again * 2.0**-places]), need, top)
        usual = float(np.median(scale[scale > 0])) if (scale > 0).any() else top / float(cell.threshold.max())
        scale = np.where(scale > 0, np.minimum(scale, 8 * usual), usual)

        highest = math.log2(float((cell.threshold * scale).max()))
        fine_enough = float(np.log2(cell.lost() * LOSS / (cell.threshold * scale)).max())
        wanted = math.ceil(highest + max(FRACTION_BITS, fine_enough)) + ROOM_BITS + 1
        bits = min(max(16, wanted), 31) if options.state_bits is None else options.state_bits
        shift = int(np.clip(math.floor(bits - 1 - ROOM_BITS - highest), -24, 24))
        if highest + shift > 30:
            shift = math.floor(30 - highest)
        self.state_bits = max(self.state_bits, bits)
        fine = scale * 2.0**shift

        tensors: dict[str, NDArray[Any]] = {f"{op}.weight": _codes(fed * scale, top)}
        keys: dict[str, Any] = {"weight_bits": width, "input_shift": shift}
        if recurrent is not None:
            tensors[f"{op}.recurrent_weight"] = _codes(again * scale * 2.0**-places, top)
            keys["recurrent_shift"] = shift + places
        if delays is not None:
            tensors[f"{op}.delays"] = np.ascontiguousarray(delays, np.int32)
        for end, back in (("bias", 0), ("recurrent_bias", places)):
            if (values := biases[end]) is not None:
                tensors[f"{op}.{end}"] = _whole(values * cell.gain * scale * 2.0**-back)
        if cell.rest is not None:
            tensors[f"{op}.rest"] = _whole(cell.rest * fine)
        leak_bits = self._leak_bits([one for one in (cell.beta, cell.alpha) if one is not None])
        constants = {"beta": cell.beta, "synapse_beta": cell.alpha, "threshold": cell.threshold * fine}
        for end, values in constants.items():
            if values is None:
                continue
            unit = 1 if end == "threshold" else 1 << leak_bits
            codes = np.maximum(_whole(values * unit), 1 if end == "threshold" else 0)
            if (codes == codes[0]).all():
                keys[end] = int(codes[0]) if end == "threshold" else float(codes[0] / unit)
            else:
                keys[end] = "per_neuron"
                tensors[f"{op}.{end}"] = codes
            if end != "threshold":
                keys[f"{end}_bits"] = leak_bits
        self.tensors |= tensors
        keys |= {"strict": True, "reset": options.reset or "zero"}
        if cell.alpha is not None and options.order == "old":
            keys["current"] = "old"
        if cell.kind != "Threshold":
            keys["euler"] = True
        return keys

    def _leak_bits(self, leaks: Sequence[NDArray[np.float64]]) -> int:
        """Return the bits of leaks: 1 - leak, what is lost in a time step, has 7 of them unless they are given."""
        lost = [float((1 - one[one < 1]).min()) for one in leaks if (one < 1).any()]
        wanted = 7 + math.ceil(-math.log2(max(min(lost, default=1.0), 1e-9)))
        return min(max(wanted, 12), 16) if self.options.leak_bits is None else self.options.leak_bits

    def _say(self, name: str, op: str, before: Sum, again: Sum) -> None:
        bits = self.options.bits_of(op)
        how = f"weights of {bits} bits, a scale for each neuron; in the float network as the file has it"
        kind = self.kind(name)
        remark = {"CubaLIF": "w_in, r and dt / tau in the weights", "IF": "r dt in the weights: v + dt r I",
                  "LIF": "r and dt / tau in the weights", "Threshold": "a neuron that keeps nothing"}[kind]  # fmt: skip
        v_reset = getattr(self.nodes[name], "v_reset", None)
        if v_reset is not None and np.any(v_reset) and self.options.reset == "subtract":
            remark += "; v_reset is not used where the threshold is subtracted"
        self.notes[name] = Note(name, kind, (op,), "approximate", remark)
        for part in (before, again):
            for one in part.through:
                self._note_linear(one, op, how, part.products)

    def _note_linear(self, node: str, op: str, remark: str, products: Sequence[str]) -> None:
        kind = self.kind(node)
        ours = dict.fromkeys((*(self.notes[node].ours if node in self.notes else ()), op))
        plain = kind in ("Flatten", "Delay", "Input", "Output")
        if not plain and node in products:
            remark = f"multiplied or added together with other weights; {remark}"
        self.notes[node] = Note(node, kind, tuple(ours), "exact" if plain else "approximate", "" if plain else remark)

    def _readout(self, name: str) -> None:
        """LI and I: leaky sums that go on from row to row."""
        node, kind = self.nodes[name], self.kind(name)
        width, dt = self._width(name), self.options.dt or 1.0
        arrived = self.arrives(name)
        source, path = next(iter(arrived.paths.items()))
        if set(arrived.paths) != {source} or path.delays is not None or np.any(arrived.bias or 0):
            self.refuse(name, "it takes spikes of one node without delays and biases")
            return
        weight = self._matrix(name, path, self._width(source), width)
        resistance = _each(node.r, width)
        leak = np.ones(width)
        if kind == "LI":
            if np.any(node.v_leak):
                self.refuse(name, "v_leak is not 0: a leaky readout leaks to 0")
            leak = 1 - dt / _each(node.tau, width)
            if (leak != leak[0]).any():
                self.refuse(name, "its neurons have several 'tau': a leaky readout has one leak")
        if self.refused.found:
            return
        gain = resistance * dt / (_each(node.tau, width) if kind == "LI" else 1.0)
        self._sums(name, name, source, weight * gain, float(leak[0]), arrived, "its factors in the weights")

    def _sums(
        self, name: str, named: str, source: str, weight: NDArray[Any], leak: float | None, arrived: Sum, remark: str
    ) -> None:
        """Add a readout: ``leak`` per time step of sums that go on, None of sums that begin anew in each row."""
        op = self.names.new(named)
        self.name_of[name] = op
        bits, width = self._leak_bits([np.full(1, 1.0 if leak is None else leak)]), self.options.bits_of(op)
        top = largest_weight(width)
        largest = float(np.abs(weight).max())
        scale = float(_scales(weight.reshape(-1, 1), np.array([largest]), top)[0]) or 1.0
        keys: dict[str, Any] = {
            "name": op, "op": "spike_sum", "input": self.name_of[source], "neurons": weight.shape[1],
            "weight_bits": width,
        }  # fmt: skip
        if leak is not None:
            keys |= {"carry": True, "beta": float(round(leak * 2**bits) / 2**bits), "beta_bits": bits}
            if keys["beta"] != 1:
                self.reference[f"{op}.beta"] = np.full(1, leak, np.float32)
        self.tensors[f"{op}.weight"] = _codes(weight * scale, top)
        self.reference[f"{op}.weight"] = np.ascontiguousarray(weight, np.float32)
        self.ops.append(keys)
        unit = f"an output stands for {1 / scale:.6g} times its sum"
        if self.kind(name) in READOUTS:
            self.notes[name] = Note(name, self.kind(name), (op,), "approximate", f"{remark}; {unit}")
        for one in arrived.through:
            self._note_linear(one, op, f"weights of {width} bits; {unit}", arrived.products)

    def _outputs(self, sink: str) -> None:
        """The output: spikes or sums of a node as they are, or a matrix of spikes."""
        arrived = self.arrives(sink)
        source, path = next(iter(arrived.paths.items()))
        if self.refused.found:
            return
        if path.matrix is None and path.delays is None:
            for one in arrived.through:
                self._note_linear(one, self.name_of[source], "", ())
        elif path.delays is not None or np.any(arrived.bias if arrived.bias is not None else 0):
            self.refuse(sink, "outputs with a delay or a bias of their own")
        elif self.kind(source) in READOUTS:
            self.refuse(sink, f"weights behind '{source}', whose numbers can be outputs alone")
        else:
            last = next(
                (one for one in reversed(arrived.through) if self.kind(one) in ("Linear", "Affine", "Scale")), sink
            )
            weight = self._matrix(sink, path, self._width(source), self._width(sink))
            if not self.refused.found:
                self._sums(sink, last, source, weight, None, arrived, "")

    # -- the workload --------------------------------------------------------------------------------------------------

    def _finished(self, width: int) -> Imported:
        options = self.options
        for name in self.nodes:
            if name not in self.notes:
                read = [self.name_of[one] for one in (name, *self.into[name]) if one in self.name_of]
                self.notes[name] = Note(name, self.kind(name), tuple(read[:1]))
        dt = options.dt or 1e-3
        said = [f"dt {dt * 1e3:.10g} ms"]
        if options.reset is not None:
            said.append({"subtract": "reset by subtraction", "zero": "reset to v_reset"}[options.reset])
        if options.order is not None:
            said.append(f"order: membranes take the {options.order} current")
        workload: dict[str, Any] = {
            "name": options.named(self.path),
            "description": f"Imported from {self.path.name} (NIR): {', '.join(said)}.",
            "inputs": {"source": "file", "path": NO_FILE, "frame_period": f"{dt * 1e6:.10g} us", "width": width,
                       "spikes": True},
            "graph": self.ops,
        }  # fmt: skip
        inputs = self._inputs(width)
        remarks = [
            f"Not in the file, as asked for: {', '.join(said)}. A time step is a row; thresholds are strict (v > "
            "v_threshold); Euler's method; an utterance begins with v = v_leak and no current.",
            "The inputs are taken for spikes, 0 or 1 in each time step.",
            f"Membranes and synaptic currents are meant for words of {self.state_bits} bits.",
            *self._change(workload, inputs),
        ]  # fmt: skip
        notes = [self.notes[name] for name in self.nodes]
        return Imported(workload, self.tensors, self.reference, notes, remarks, inputs)

    def _inputs(self, width: int) -> dict[str, NDArray[Any]]:
        """Return the spikes on which integers and floats are compared: given ones, or drawn."""
        options = self.options
        if options.spikes is not None:
            heard = read_features(Path(options.spikes), width, steps=1)
            starts = np.cumsum([0, *(len(one.codes) for one in heard)])
            return {"spikes": np.concatenate([one.codes for one in heard]), "starts": starts}
        weights = [tensor for name, tensor in self.tensors.items() if name.endswith("weight")]
        widest = max([width, *(tensor.shape[-1] for tensor in weights)])
        if options.rows * widest > MOST_DRAWN:
            message = f"random inputs of {options.rows:,} rows do not fit into memory"
            raise InputError.of(message, file=self.path, hint="fewer rows: -O rows=10")
        products = sum(tensor.size for tensor in weights)
        most = min(MOST_PRODUCTS // (products * options.rows), MOST_DRAWN // (widest * options.rows))
        utterances = max(min(options.utterances, most), 1)
        random = np.random.default_rng(options.seed)
        drawn = random.random((utterances * options.rows, 1, width), np.float32) < options.rate
        return {"spikes": drawn.astype(np.uint8), "starts": np.arange(utterances + 1) * options.rows}

    def _change(self, workload: Mapping[str, Any], inputs: Mapping[str, NDArray[Any]]) -> list[str]:
        """Return what quantisation changes in the spikes of every layer and in the outputs."""
        spec = parse(WorkloadSpec, parse_yaml(as_yaml({**workload, "weights": "weights.safetensors"})))
        graph = Graph.of(spec.graph, spec.features())
        problems = [message for _, message, _ in graph.tensor_problems(self.tensors)]
        problems += [message for _, message, _ in graph.tensor_problems(self.reference, reference=True)]
        if problems:
            raise InputError.of(f"what was made of it is no workload: {'; '.join(problems)}", file=self.path)
        exact = Datapath(self.reference)
        starts = np.asarray(inputs["starts"], np.int64)
        features = Signal(inputs["spikes"], starts, graph.edges[FEATURES])
        whole, real = {FEATURES: features}, {FEATURES: features}
        lines = []
        origin = "the inputs given" if self.options.spikes else (
            f"random inputs ({self.options.rate:g} of them spike in a time step, seed {self.options.seed}"
        )  # fmt: skip
        origin += "" if self.options.spikes else ")"
        for op in graph.ops:
            read = [whole[name] for name in op.reads()]
            whole[op.name] = Signal(op.reference(read, self.tensors), starts, graph.edges[op.name])
            values, _ = op.float_values([real[name] for name in op.reads()], exact, None)
            real[op.name] = Signal(values, starts, graph.edges[op.name])
            lines += self._changed(op, whole[op.name].values, values, starts)
            for name in {*op.reads(), op.name}:
                if graph.last_reader.get(name, op.name) == op.name:
                    del whole[name], real[name]
        rows = f"{len(starts) - 1} utterances of {origin}, {starts[-1]:,} time steps"
        return [f"Integers against the float network on {rows}: {'; '.join(lines)}."]

    def _changed(self, op: Op, whole: NDArray[Any], real: NDArray[Any], starts: NDArray[np.int64]) -> list[str]:
        if whole.ndim == 3:
            counts = [
                np.array([x[a:b].sum(axis=(0, 1), dtype=np.int64) for a, b in pairwise(starts)]) for x in (whole, real)
            ]
            line = (
                f"'{op.name}' {int(real.sum()):,} spikes in float, {int(whole.sum()):,} in integers, "
                f"{int(np.count_nonzero(whole != real)):,} differ in place, the counts of neurons and utterances by "
                f"{int(np.abs(counts[0] - counts[1]).sum()):,} together"
            )
            if self.ops[-1]["name"] != op.name:
                return [line]
            most = np.mean(counts[0].argmax(axis=1) == counts[1].argmax(axis=1))
            return [line, f"in {most:.1%} of the utterances the same output spikes most"]
        last = starts[1:] - 1
        most = np.mean(whole[last].argmax(axis=1) == real[last].argmax(axis=1))
        scale = float(np.vdot(whole.astype(np.float64), real) / (np.vdot(whole, whole.astype(np.float64)) or 1.0))
        error = float(np.sqrt(np.square(whole * scale - real).mean()) / (real.std() or 1.0))
        return [f"outputs of '{op.name}' differ by {error:.3g} of their deviation (root mean square), and in "
                f"{most:.1%} of the utterances the same one is largest in the last time step"]  # fmt: skip


class _Cell:
    """The constants of a layer's neurons, each [neurons]: in float32 as Norse has them, and folded together.

    ``gain``: what a current is multiplied by on its way to the membrane; v and its constants are those above v_reset
    where a spike sets v back.
    """

    def __init__(self, kind: str, node: Any, width: int, options: NirOptions) -> None:
        self.kind, self.dt = kind, options.dt or 1.0

        def each(key: str, usual: float = 0.0) -> NDArray[np.float64]:
            return _each(getattr(node, key, usual), width)

        one = np.ones(width)
        level = each("v_reset") if options.reset == "zero" else 0 * one
        self.threshold = each("threshold" if kind == "Threshold" else "v_threshold") - level
        self.tau_mem = each("tau_mem" if kind == "CubaLIF" else "tau", 1.0) if kind in ("CubaLIF", "LIF") else None
        self.tau_syn = each("tau_syn") if kind == "CubaLIF" else None
        self.r, self.w_in = each("r", 1.0), each("w_in", 1.0)
        rest = each("v_leak") - level
        self.rest = rest if rest.any() and kind != "Threshold" else None
        fast = one if kind == "Threshold" else self.dt * one if self.tau_mem is None else self.dt / self.tau_mem
        slow = None if self.tau_syn is None else self.dt / self.tau_syn
        self.gain = fast * self.r * (1.0 if slow is None else slow * self.w_in)
        self.beta = 0 * one if kind == "Threshold" else one if self.tau_mem is None else 1 - fast
        self.alpha = None if slow is None else 1 - slow

    def lost(self) -> NDArray[np.float64]:
        """Return what leaks round off a membrane in the long run, in units of its last bit: half of it each time.

        A leak of beta lets 1 / (1 - beta) of them stay; those of a synaptic current go on to the membrane.
        """
        stay = 1 / np.maximum(1 - self.beta, 1e-9)
        own = np.where(self.beta < 1, stay / 2, 0.01)
        return own if self.alpha is None else own + stay / 2 / np.maximum(1 - self.alpha, 1e-9)

    def problem(self) -> str | None:
        """Return why these neurons cannot be taken, or None."""
        if self.rest is not None and self.kind == "IF":
            return "it begins at v = 0, which v_reset is not"
        if (self.threshold <= 0).any():
            return "a threshold that is not above 0, or not above v_reset"
        if (self.threshold < 1e-12).any() or (self.gain == 0).all():
            return "its thresholds are below 1e-12, or no current reaches its membranes"
        gains = np.abs(self.gain[self.gain != 0])
        if np.ptp(np.log2(self.threshold)) > 20 or gains.max() > 1e12 * gains.min():
            return "thresholds or gains that lie too far apart for integers"
        return None

    def float_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the constants of the float network, steps in float32 as dt (1 / tau)."""
        if self.kind == "Threshold":
            return {"threshold": self.threshold, "beta": np.zeros(1)}
        step = np.float32(self.dt)

        def inverse(tau: NDArray[Any]) -> NDArray[np.float32]:
            return step * (np.float32(1) / tau.astype(np.float32))

        found: dict[str, NDArray[Any]] = {"threshold": self.threshold}
        found["membrane_step"] = np.full(len(self.gain), step) if self.tau_mem is None else inverse(self.tau_mem)
        if self.tau_syn is not None:
            found["synapse_step"] = inverse(self.tau_syn)
        for end, values in (("input_gain", self.w_in), ("resistance", self.r)):
            if (values != 1).any():
                found[end] = values
        if self.rest is not None:
            found["rest"] = self.rest
        return found


def _each(value: Any, width: int) -> NDArray[np.float64]:
    return np.array(np.broadcast_to(np.asarray(value, np.float64).reshape(-1), (width,)))


def _codes(values: NDArray[Any], top: int) -> NDArray[np.int8]:
    return np.clip(np.rint(values), -top, top).astype(np.int8)


def _scales(weights: NDArray[np.float64], largest: NDArray[np.float64], top: int) -> NDArray[np.float64]:
    """Return the scale of each column whose codes are nearest in squares, of those that clamp its largest or do not.

    weights: [inputs, columns]; largest: of each column. 0 for a column of zeros.
    """
    best = scale = np.divide(top, largest, out=np.zeros_like(largest), where=largest > 0)
    least = np.full(len(largest), np.inf)
    for factor in (1.0, 1.1, 1.25, 1.4, 1.6, 1.8, 2.0, 2.5):
        tried = scale * factor
        back = np.divide(1, tried, out=np.zeros_like(tried), where=tried > 0)
        error = np.square(_codes(weights * tried, top) * back - weights).sum(axis=0)
        best, least = np.where(error < least, tried, best), np.minimum(error, least)
    return best


def _whole(values: NDArray[Any]) -> NDArray[np.int32]:
    return np.clip(np.rint(values), -(2**31) + 1, 2**31 - 1).astype(np.int32)


def _size(shape: Any) -> int:
    return math.prod(int(size) for size in np.asarray(shape).reshape(-1))


IMPORTERS.register("nir", Nir)
