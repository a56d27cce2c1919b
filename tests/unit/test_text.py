"""What is shown of others' text: no terminal obeys it, it reads as it stands, and it holds no password."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from accelsim.errors import Problem
from accelsim.report.console import PlainTable
from accelsim.report.html import render
from accelsim.text import masked, masked_arguments, printable, printable_lines

HOSTILE = "a\x1b[31m\x07\x9b2J\u202ecod\u2066.\u200b\ufeff\ud800\x00[bold]<b>&amp;"


@pytest.mark.parametrize("show", [printable, printable_lines])
def test_a_terminal_has_nothing_to_obey(show) -> None:
    shown = show(HOSTILE)
    assert shown.isprintable()
    shown.encode()  # halves of surrogate pairs cannot be
    assert "\\x1b[31m\\x07\\x9b2J\\u202ecod" in shown
    assert shown.endswith("[bold]<b>&amp;"), "markup is for whoever makes a page of it"
    assert show(shown) == shown


def test_good_text_stays_as_it_is() -> None:
    for text in ("71.2 µW", "  two  spaces", "größer als 5 °C", "漢字", "C:\\new"):
        assert printable(text) == printable_lines(text) == text


def test_only_text_of_our_own_layout_keeps_its_lines() -> None:
    assert printable("a\r\n  b\u2028c\x0bd") == "a b c d"
    assert printable_lines("name\n  clock") == "name\n  clock"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("postgresql://user:s3cr:et@host/db", "postgresql://user:***@host/db"),
        ("at redis://:s3cret@host, then", "at redis://:***@host, then"),
        ("mysql://u:s3@cret@host/db?ssl=1", "mysql://u:***@host/db?ssl=1"),
        ("postgresql://host/db?user=u&password=s3cret&x=1", "postgresql://host/db?user=u&password=***&x=1"),
        ("mssql://?odbc_connect=UID%3Du%3BPWD%3Ds3cret%3Bx", "mssql://?odbc_connect=UID%3Du%3BPWD%3D***%3Bx"),
        ("host=h password=s3cret user=u", "host=h password=*** user=u"),
        ("https://host/f?access_token=s3cret", "https://host/f?access_token=***"),
    ],
)
def test_passwords_are_masked(secret: str, shown: str) -> None:
    assert masked(secret) == printable(secret) == printable_lines(secret) == shown
    assert str(Problem("cannot open", secret)) == f"{shown}: cannot open"


def test_a_password_with_blanks_is_masked_in_a_command_line() -> None:
    assert masked_arguments(["--storage", "postgresql://u:s3 cr\net@h/db"]) == ["--storage", "postgresql://u:***@h/db"]


def test_times_and_names_with_colons_are_no_passwords() -> None:
    for text in ("components.pe: 5 @ 1 GHz", "see https://host:8080/path", "tokens=30", "mail@host"):
        assert masked(text) == text


def test_cells_of_a_table_are_escaped_before_they_are_measured() -> None:
    table = PlainTable()
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    out = io.StringIO()
    Console(file=out, width=200, markup=False).print(table)
    lines = out.getvalue().splitlines()
    assert all(line.isprintable() for line in lines)
    assert len({len(line) for line in lines}) == 1


def test_a_page_shows_texts_escaped_and_its_data_too() -> None:
    values = {"meta": {}, "x": HOSTILE}
    page = render("page.html", {"a": HOSTILE}, values)
    assert "\x1b" not in page and "\u202e" not in page and "<b>" not in page
    assert "\\u202ecod" in page
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["x"] == printable(HOSTILE)


@pytest.mark.parametrize("argv", [["validate", "a\x1b[31m\u202e.yaml"], ["run", "a\x1b]0;x\x07"], ["report", "\x9b2J"]])
def test_the_command_line_says_nothing_raw(argv: list[str], tmp_path) -> None:
    done = subprocess.run([sys.executable, "-m", "accelsim", *argv], capture_output=True, cwd=tmp_path, check=False)
    told = done.stderr.decode() + done.stdout.decode()
    assert done.returncode == 2
    assert all(line.isprintable() for line in told.splitlines()), told


def test_a_terminal_of_few_letters_gets_escapes(tmp_path) -> None:
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", "validate", "ä漢.yaml"], capture_output=True, cwd=tmp_path, env=latin,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"error: \xe4\\u6f22.yaml: no such file" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", "list", "--plugins"], capture_output=True, env=latin, check=False
    )
    assert done.returncode == 0
