"""The command line: the only package that prints, exits or draws progress bars. A module of commands a family."""

from accelsim.cli.app import app
from accelsim.cli.entry import main

# isort: off
# Their order is that of the help.
from accelsim.cli import run, compare, explore, report, new, importing, files, data

__all__ = ["app", "compare", "data", "explore", "files", "importing", "main", "new", "report", "run"]
