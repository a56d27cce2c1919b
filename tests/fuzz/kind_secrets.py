"""Passwords in URLs, options, variables and paths: none comes back on the terminal or in what is written."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

from harness import Case, Outcome
from small import smalls, text

SECRET = "s3cr3t-Pa55"
DIALECTS = (
    "postgresql", "postgresql+psycopg2", "mysql", "mysql+pymysql", "oracle", "mssql+pyodbc", "redis", "sqlite",
    "nosuch", "http", "journal", "",
)  # fmt: skip


def url(rng: random.Random) -> str:
    """Return a URL with the password in it, damaged or not."""
    before, behind = (
        rng.choice(("", "a:", "a@", "p:q@", "[", "%", "é", "/", "x;")),
        rng.choice(("", ":b", "@c", "]", "#")),
    )
    password = before + SECRET + behind
    user, host = rng.choice(("user", "", "u.v", "u%40v")), rng.choice(("localhost", "127.0.0.1", "::1", "", "no.such."))
    port = rng.choice(("", ":1", ":99999", ":port", ":"))
    tail = rng.choice(("/db", "", "/", f"/db?password={SECRET}", f"/db?sslmode=x&access_token={SECRET}", "?x=1"))
    return f"{rng.choice(DIALECTS)}://{user}:{password}@{host}{port}{tail}"


class Secrets:
    name = "secrets"
    weight = 0.5
    warm = ()

    def case(self, rng: random.Random) -> Case:
        small = smalls()["rsnn28nm"]
        files = {
            "chip.yaml": text(dict(small.chip)).encode(), "net.yaml": text(dict(small.network)).encode(), **small.beside
        }  # fmt: skip
        secret = url(rng)
        axes = ["-s", "lif.units=64,128"]
        argv = rng.choice(
            (
                ["search", "chip.yaml", "-w", "net.yaml", *axes, "--trials", "1", "-o", "out", "--storage", secret],
                ["search", "chip.yaml", "-w", "net.yaml", *axes, "--trials", "1", "-o", "out", f"--storage={secret}"],
                ["sweep", "chip.yaml", "-w", "net.yaml", *axes, "-o", "out", "--scheduler", secret],
                ["run", "chip.yaml", "-w", "net.yaml", "-s", f"description={secret}", "--out", "out"],
            )
        )
        return Case(files, argv)

    @staticmethod
    def check(folder: Path, outcome: Outcome) -> None:
        """The password is nowhere."""
        shown = outcome.out + outcome.err
        assert SECRET not in shown, f"shown: {shown}"
        for path in sorted((folder / "out").rglob("*")) if (folder / "out").is_dir() else ():
            if path.is_file():
                content = path.read_bytes()
                content = gzip.decompress(content) if path.suffix == ".gz" else content
                assert SECRET.encode() not in content, f"written into {path.name}"


KIND = Secrets()
