"""Command lines of every subcommand, with values of every option, several at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
from harness import Case, Outcome
from kind_run import finite, overrides, printed, texts
from kind_sweep import axis, no_mistakes
from small import smalls, text

from accelsim.cli import app

CHIP = "rsnn28nm"
SECRET = "s3cr3t-word"
WORDS = (
    "", " ", "x", "-", "--", "none", "None", "0", "1", "-1", "1e400", "nan", "inf", "0x10", "true", "ü", "名", "a\nb",
    "a\tb", "\x1b[31m", "\u202ea", "[bold]", "[/]", "%s", "{x}", "$HOME", "~", "*", "a" * 300, "a/" * 200, "'", '"',
    "\\", "=", "a=", "=b", "a=b", ",", ";", ":", "a:b", "1:2:3", "\udcff",
)  # fmt: skip
FILES = ("chip.yaml", "net.yaml", "study.yaml", "plug.py", "table.csv", "m.tflite", "m.onnx", "m.nir", "m.safetensors",
         "empty", "folder", "folder/inside.txt", "missing.yaml", "chip.yaml/x", "/dev/null", "/dev/full",
         "/proc/none/x", "out")  # fmt: skip
INTEGERS = ("0", "1", "2", "3", "-1", "7", "2147483648", "9223372036854775807", "18446744073709551616", "1" + "0" * 40,
            "1.5", "1e3", "x", "")  # fmt: skip
VALUES: dict[str, tuple[str, ...]] = {
    "--inputs": ("my.tsv", "folder", "missing.tsv", "table.csv", "empty"), "--recordings": ("my.tsv", "folder", "x"),
    "--from": (CHIP, "chip.yaml", "net.yaml", "rsnn_paper_activity", "x", "empty"),
    "--workload": ("net.yaml", "chip.yaml", "none", "rsnn_paper_activit"),
    "--seed": INTEGERS, "--seeds": ("1", "2", *INTEGERS), "--points": INTEGERS, "--trials": ("1", "2", "0", "-1", "x"),
    "--jobs": ("1", "1", "1", "0", "-1", "x"),
    "--power": ("as_is", "gated", "ungated", "x"), "--trace": ("perfetto", "vcd", "x"),
    "--trace-window": ("0ms:5ms", "0:1", "1:0", "0:", ":", "5", "-1:2", "0s:1e300s", "nan:1", "0:99999999999999999999",
                       "1:2:3", "2s:", "0 years:1 s"),
    "--out": ("out", "out", "out", "out/deep/er", "chip.yaml", "", "/dev/null", "/proc/none/x"),
    "--placement": ("out/p.yaml", "out/deep/p.yaml", "chip.yaml", "empty"),
    "--plugin": ("plug.py", "broken.py", "raises.py"),
    "--limit": ("points=1", "points=1e9", "points=0", "points=-1", "points=x", "points", "=", "yaml_bytes=10",
                "yaml_depth=1", "x=1", "frames=1", "memory=1", "points=1e400", "points=nan", "ops=1", "yaml_values=3"),
    "--memory": ("1 B", "1 GB", "100 MB", "0", "-1 GB", "x", "1e400 GB", "nan GB", "8", "3 V"),
    "--studies": ("folder", "missing", "chip.yaml", "."),
    "--against": ("table.csv", "chip.yaml", "missing.md", "folder"),
    "--table": ("out/t.csv", "chip.yaml/t.csv", "/proc/none/t.csv"),
    "--method": ("grid", "random", "lhs", "x"), "--scheduler": ("x", "tcp://", "tcp://x", "tcp://x:y", "tcp://[::", ""),
    "--objectives": ("energy", "energy,area", "error", "x", ",", "energy,,area", "energy,energy", ""),
    "--constraint": ("area<=1 mm2", "area>=0 m2", "energy<=1 V", "x<=1", "area<=", "<=1", "area<=nan mm2", "area==1",
                     "accuracy>=2", "area<=1e400 mm2"),
    "--export": ("csv", "parquet", "x", "csv,parquet"), "--sampler": ("tpe", "nsga2", "x"),
    "--storage": (f"postgresql://user:{SECRET}@127.0.0.1:1/db", f"mysql+x://u:{SECRET}@h/d", "sqlite:///out/o.db", "x",
                  "sqlite://", f"https://h/?password={SECRET}", "sqlite:////proc/none/o.db"),
    "--format": ("html", "pdf", "svg", "png", "html,svg", "x", ",", "tflite", "onnx", "nir"),
    "--max-size": INTEGERS, "--name": ("net", "a/b", "../x"), "--dataset": ("librivox_sample", "fsdd", "timit_sample"),
    "--split": ("test", "train"), "--features": ("log_mel", "micro", "mfcc", "x"),
    "--frame-period": ("10 ms", "0 ms", "-1 ms", "1e400 s", "nan s", "10", "10 V"),
    "--rounding": ("double_away", "double_up", "single"), "--calibrate": ("folder", "missing", "chip.yaml"),
    "--bits": ("4", "8", "fc=4", "0", "99", "=", "fc=", "-1", "1" + "0" * 30), "--calibration": ("max", "percentile"),
    "--dt": ("1 ms", "0", "nan", "-1 s", "1e-300"), "--reset": ("subtract", "zero"), "--order": ("new", "old"),
    "--option": ("dt=0.001", "name=x", "bits=4", "=", "a", "dt=[", "dt={", "x=*a", "dt=&a [*a]"),
}  # fmt: skip
"""Values of the options that take one, by their first long name; --set is drawn from the keys of the chip."""
POSITIONS: dict[str, tuple[str, ...]] = {
    "run": ("chip.yaml", "chip.yaml", "chip.yaml", *FILES), "schedule": ("chip.yaml", "chip.yaml", *FILES),
    "sweep": ("chip.yaml", "chip.yaml", "study.yaml", "study.yaml", *FILES), "search": ("chip.yaml", *FILES),
    "compare": ("chip.yaml", "chip.yaml", *FILES, "papers"), "report": ("folder", "out", *FILES),
    "import": ("m.tflite", "m.onnx", "m.nir", "m.safetensors", *FILES),
    "validate": FILES, "schema": ("arch", "cost", "workload", "paper", "result", "sweep", "device", "x", ""),
    "chip": ("mine", "a.b", "../x", "chip", "chip.yaml"), "network": ("mine", "../x", "net"),
    "check": ("my.tsv", "folder", *FILES),
    "get": ("x", "timit", "librivox_sample", "mini_librispeech", ""),
}  # fmt: skip


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Return every subcommand by its words."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", {})
        if not inner:
            found[words] = command
        for name, one in inner.items():
            walk(one, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def options(command: Any) -> Iterator[Any]:
    """Yield the options of a subcommand."""
    return (one for one in command.params if one.param_type_name == "option")


def long_name(option: Any) -> str:
    return str(next(name for name in option.opts if name.startswith("--")))


@cache
def laid() -> dict[str, bytes]:
    """Return the files that options may name."""
    chip, network = texts(CHIP)
    study = {"schema": "accelsim/sweep@1", "architecture": "chip.yaml", "workload": "net.yaml",
             "axes": [{"components.pe.switch_cycles": [1, 2]}]}  # fmt: skip
    return {
        "chip.yaml": chip.encode(), "net.yaml": network.encode(), **smalls()[CHIP].beside,
        "study.yaml": text(study).encode(), "plug.py": b"", "broken.py": b"def (:\n", "raises.py": b"1 / 0\n",
        "table.csv": b"a,b\n1,2\n", "m.tflite": b"TFL3" * 9, "m.onnx": b"\x08\x07" * 9, "m.nir": b"\x89HDF\r\n\x1a\n",
        "m.safetensors": b"\x02\0\0\0\0\0\0\0{}", "empty": b"", "folder/inside.txt": b"x",
        "my.tsv": b"path\tclass\nfolder/a.wav\tyes\n",
    }  # fmt: skip


class Options:
    name = "options"
    weight = 2.0

    @property
    def warm(self) -> list[Case]:
        return [
            Case(laid(), ["run", "chip.yaml", "-w", "net.yaml"]),
            Case(laid(), ["schedule", "chip.yaml", "-w", "net.yaml"]),
            Case(laid(), ["sweep", "study.yaml", "--out", "out"]),
            Case(laid(), ["search", "chip.yaml", "-w", "net.yaml", "-s", "components.pe.switch_cycles=1:2", "--trials",
                          "1", "--objectives", "energy", "--out", "out"]),
        ]  # fmt: skip

    def case(self, rng: random.Random) -> Case:
        words, command = rng.choice([*commands().items()])
        argv = [*words, *self._positions(rng, words)]
        given = [option for option in options(command) if rng.random() < rng.choice((0.05, 0.2, 0.4))]
        if words[0] == "new" or (words[0] in ("sweep", "search", "import") and rng.random() < 0.9):
            argv += ["--out", "out"]
        if words[0] in ("run", "schedule", "search", "compare") and rng.random() < 0.8:
            argv += ["-w", "net.yaml"]
        if words[0] == "search":
            argv += ["--trials", "2"]
        for option in given:
            argv += self._option(rng, words, option)
        if rng.random() < 0.05:
            argv.insert(rng.randrange(len(argv) + 1), rng.choice((*WORDS, "--x", "-x", "--set", "-s", "--help")))
        as_json = words in (("run",), ("compare",)) and "--json" in argv and "--help" not in argv
        return Case(laid(), argv, check=printed if as_json else None)

    def _positions(self, rng: random.Random, words: tuple[str, ...]) -> list[str]:
        likely = POSITIONS.get(words[-1], ())
        if not likely:
            return []
        several = {"compare": (2, 2, 2, 3), "validate": (1, 2, 5)}.get(words[-1], (1, 1, 1, 1, 1, 1, 1, 2))
        return [rng.choice(WORDS) if rng.random() < 0.1 else rng.choice(likely) for _ in range(rng.choice(several))]

    def _option(self, rng: random.Random, words: tuple[str, ...], option: Any) -> list[str]:
        name = long_name(option)
        if option.is_flag or option.is_bool_flag:
            return [name]
        if name == "--set":
            if words[0] in ("sweep", "search") and rng.random() < 0.8:
                key, values = axis(rng, CHIP)
                return [name, f"{key}={values if isinstance(values, str) else ','.join(map(str, values))}"]
            return overrides(rng, CHIP) if rng.random() < 0.8 else [name, rng.choice(WORDS)]
        writes = name in ("--out", "--table", "--placement")  # a word would be a place beside `may_write`
        value = rng.choice(WORDS) if rng.random() < 0.2 and not writes else rng.choice(VALUES[name])
        return [rng.choice([one for one in option.opts]), value] if rng.random() < 0.8 else [f"{name}={value}"]

    @staticmethod
    def check(folder: Path, outcome: Outcome) -> None:
        """No secret is shown, no figure is none, no point fails by a mistake of our own."""
        assert SECRET not in outcome.out + outcome.err, "a password is shown"
        for path in (folder / "out").rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes(), f"a password in {path.name}"
        finite(folder, outcome)
        no_mistakes(folder, outcome)


KIND = Options()
