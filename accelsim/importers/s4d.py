"""The S4D module of state-spaces/s4 (models/s4/s4d.py), from its parameters as safetensors.

y = conv(u, K) + D u, K[l] = 2 Re sum_n C_n (e^(dt A_n) - 1) / A_n e^(l dt A_n), A = -e^log_A_real + i A_imag, dt =
e^log_dt: zero-order hold, of states whose input matrix is 1 (or B, where there is one). Then GELU, and a layer that
mixes the channels with a GLU, both of the module. Source: https://github.com/state-spaces/s4, commit e757cef.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.importers.importer import IMPORTERS, LARGEST_FILE, Imported, Importer, Options, Refusals
from accelsim.importers.state_dict import Network, State, StateDictOptions, features, not_read
from accelsim.ops.op import FEATURES

LARGEST_WEIGHT_BITS = 7
"""Of the levels of an s4d op, see `accelsim.kernels.ssm`."""
HEADROOM = 4.0
"""How many deviations of a state, and of an output, their largest code stands for."""
FEATURE_DEVIATION = 32.0
"""Deviation of the features' codes that ranges of states are chosen for."""


class S4dOptions(StateDictOptions):
    """How wide the integers of the kernels are, and for which deviation of the features' codes states get a range.

    ``unstable``: what is done with a state whose rounded A would not decay: refused, or rounded towards 0.
    """

    weight_bits: Annotated[int, Ge(2), Le(LARGEST_WEIGHT_BITS)] = LARGEST_WEIGHT_BITS
    code_bits: Annotated[int, Ge(2), Le(12)] = 12
    feature_deviation: Annotated[float, Gt(0)] = FEATURE_DEVIATION
    round_towards_zero: bool = False


class S4dImporter(Importer):
    """Reads one S4D module: kernels, skip, GELU, mixing of channels."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    what: ClassVar[str] = "state dicts of S4D modules"
    options: ClassVar[type[Options]] = S4dOptions

    def read(self, path: Path, options: S4dOptions, largest: int = LARGEST_FILE) -> Imported:
        state, refusals = State(path, options.prefix), Refusals(path)
        found = [name.removesuffix("log_A_real") for name in state.under(options.prefix) if name.endswith("log_A_real")]
        if len(found) != 1:
            places = ", ".join(f"'{name}'" for name in found[:5]) or "none"
            raise InputError.of(
                f"expected the parameters of one S4D module, 'log_A_real' among them, found {len(found)}: {places}",
                file=path, hint="-O prefix=NAME chooses one" if found else None,
            )  # fmt: skip
        kernel = found[0]
        module = kernel.removesuffix("kernel.")
        name = module.rstrip(".") or "s4d"
        try:
            with np.errstate(all="ignore"):  # of parameters that are out of all bounds; what comes of them is checked
                network, remarks = _module(state, kernel, module, name, options)
        except ValueError as error:
            refusals.add(name, "S4D", str(error))
            refusals.stop()
            raise AssertionError from None
        remarks += not_read(state, refusals, [module] if module else [""])
        refusals.stop()
        unit = 1.0 / options.feature_scale
        return network.imported(
            options.named(path), f"An S4D module of {network.edge.width} channels (zero-order hold).", options,
            remarks, reference_unit=unit,
        )  # fmt: skip


def _module(
    state: State, kernel: str, module: str, name: str, options: S4dOptions
) -> tuple[Network, list[str]]:  # fmt: skip
    """Return the network of a module and remarks; raises ValueError for what it cannot take."""
    real = state.get(f"{kernel}log_A_real", (None, None)).astype(np.float64)
    channels, states = real.shape
    if not channels or not states:
        raise ValueError("it has no states")
    imaginary = state.get(f"{kernel}A_imag", (channels, states)).astype(np.float64)
    dt = np.exp(state.get(f"{kernel}log_dt", (channels,)).astype(np.float64))
    c = _complex(state, f"{kernel}C", channels, states)
    if f"{kernel}B" in state:
        c = c * _complex(state, f"{kernel}B", channels, states)
    poles = -np.exp(real) + 1j * imaginary
    a = np.exp(poles * dt[:, None])
    product = 2 * c * (a - 1) / poles
    if not (np.isfinite(a).all() and np.isfinite(product).all()) or (np.abs(a) >= 1).any():
        raise ValueError("its states do not decay, |e^(dt A)| >= 1")
    network = Network(features(channels, options))
    remarks = ["Outputs come one row later than the module's: a state is read before its row is added to it."]
    y, remark = _kernels(network, name, a, product, options)
    remarks.append(remark)
    if (d := state.maybe(f"{module}D", (channels,))) is not None and d.any():
        # Of the row before: the kernels' outputs come one row late.
        weight = np.stack([d, np.zeros_like(d)])
        keys = {"input": network.real_features(), "taps": 2, "causal": True, "weight_bits": 16}
        skip = network.add(f"{name}.D", "depthwise", keys, {"weight": weight})
        y = network.add(f"{name}.add", "add", {"input": y, "residual": skip})
        network.note(f"{module}D", "skip", [skip, y], "of the row before; weights rounded to float16")
    gelu = network.add(f"{name}.gelu", "gelu", {"input": y})
    network.note(f"{name}.activation", "GELU", [gelu], exact=True)
    if f"{module}output_linear.0.weight" in state:
        weight = state.get(f"{module}output_linear.0.weight", (2 * channels, channels, 1))[:, :, 0]
        bias = state.maybe(f"{module}output_linear.0.bias", (2 * channels,))
        mixed = network.linear(f"{name}.output_linear.0", gelu, weight, bias)
        glu = network.add(f"{name}.output_linear.1", "glu", {"input": mixed})
        network.note(f"{module}output_linear", "Conv1d, GLU", [mixed, glu], "weights rounded to float16")
    return network, remarks


def _complex(state: State, name: str, channels: int, states: int) -> NDArray[np.complex128]:
    """Return a parameter of pairs (re, im)."""
    pairs = state.get(name, (channels, states, 2)).astype(np.float64)
    return np.asarray(pairs[..., 0] + 1j * pairs[..., 1])


def _kernels(
    network: Network, name: str, a: NDArray[np.complex128], product: NDArray[np.complex128], options: S4dOptions
) -> tuple[str, str]:
    """Add the kernels: A as it is, b c divided so that states fill their range.

    With codes u of deviation d, a state has the deviation |b| d / sqrt(1 - |a|^2): b makes that the largest code /
    `HEADROOM`, unless it reaches beyond the scale, and c is what is left.
    """
    channels, states = a.shape
    bits, q = options.weight_bits, (1 << (options.weight_bits - 1)) - 1
    top, d = float(1 << (options.code_bits - 1)), options.feature_deviation
    scale = float(max(np.abs(a.real).max(), np.abs(a.imag).max()))
    decay = np.sqrt(1 - np.abs(a) ** 2)
    b = np.minimum(top / HEADROOM / d * decay, scale)
    c = product / b
    reach = float(max(np.abs(c.real).max(), np.abs(c.imag).max())) or 1.0
    levels = {"a": _levels(a, scale, q, towards_zero=False), "b": _levels(b + 0j, scale, q), "c": _levels(c, reach, q)}
    unstable = np.abs(levels["a"][..., 0] + 1j * levels["a"][..., 1]) * (scale / q) >= 1
    if unstable.any() and not options.round_towards_zero:
        raise ValueError(
            f"with {bits}-bit levels up to {scale:.4g}, A of {int(unstable.sum())} of {unstable.size} states rounds to "
            "|a| >= 1, which does not decay: -O round_towards_zero=true rounds those towards 0, which makes them decay "
            "faster than they were trained to"
        )
    levels["a"] = np.where(unstable[..., None], _levels(a, scale, q, towards_zero=True), levels["a"])
    lost = int((levels["b"][..., 0] == 0).sum())
    # Outputs: sum of states with deviations of top / HEADROOM, each times its c.
    spread = math.sqrt(float((np.abs(product) ** 2 / decay**2).sum(axis=1).max()) / 2) * d or 1.0
    step = HEADROOM * spread / top  # of the output's codes, in codes of the features
    keys = {
        "input": FEATURES, "kernels": channels, "states": states, "weight_bits": bits, "scale": scale,
        "code_bits": options.code_bits, "input_offset": network.edge.zero_point,
        "output_gain": reach / q / step, "output_scale": step * options.feature_scale,
    }  # fmt: skip
    made = network.names.new(f"{name}.kernel")
    network.ops.append({"name": made, "op": "s4d", **keys})
    for part, of_part in (("a", a), ("b", b + 0j), ("c", product / b)):
        network.tensors[f"{made}.{part}"] = levels[part]
        network.reference[f"{made}.{part}"] = np.stack([of_part.real, of_part.imag], axis=-1)
    changed = f", A of {int(unstable.sum())} states rounded towards 0" if unstable.any() else ""
    gone = f", {lost} of {a.size} states get no input (their b rounds to 0)" if lost else ""
    network.note(
        f"{name}.kernel", "S4DKernel", [made],
        f"zero-order hold; levels of {bits} bits up to {scale:.4g} (A, B) and {reach:.4g} (C){changed}{gone}",
    )  # fmt: skip
    return made, f"Kernels have levels of {bits} bits{changed}{gone}: compare with the float network before using them."


def _levels(values: NDArray[Any], scale: float, q: int, *, towards_zero: bool = False) -> NDArray[np.int8]:
    """Return levels (re, im) that stand for scale / q level."""
    pairs = np.stack([values.real, values.imag], axis=-1) / scale * q
    rounded = np.trunc(pairs) if towards_zero else np.rint(pairs)
    return np.clip(rounded, -q, q).astype(np.int8)


IMPORTERS.register("s4d", S4dImporter)
