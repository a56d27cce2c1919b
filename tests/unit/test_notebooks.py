"""The notebooks of docs/ run as they are, on what ships with accelsim."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("pandas")

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
BOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_three() -> None:
    assert len(BOOKS) == 3


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELSIM_DATA", raising=False)  # what ships is enough
    monkeypatch.setenv("PYTHONPATH", str(Path(accelsim.__file__).parents[1]))
    book = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "outputs go stale: clear them"
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {kind for cell in book.cells for out in cell.get("outputs", ()) for kind in out.get("data", {})}
    assert {"text/html", "text/plain"} <= shown
    assert "image/png" in shown or path.stem == "own_network"


def test_a_bar_is_drawn_while_a_sweep_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(accelsim.__file__).parents[1]))
    code = """
        import accelsim
        from accelsim.api import notebook
        notebook._SECONDS_BEFORE = notebook._SECONDS_BETWEEN = 0
        with notebook.shown(None) as tell:
            tell("points", 1, 4)
            tell("points", 2, 4)
        assert notebook.in_notebook()
    """
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("\n".join(map(str.strip, code.splitlines()))
        .replace("tell(", "    tell("))])  # fmt: skip
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (shown,) = [out for out in book.cells[0].outputs if out.output_type == "display_data"]
    assert shown.data["text/html"] == "", "it goes when the work is done"
