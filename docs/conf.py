"""How Sphinx makes the site of docs/: python -m sphinx -W -b html docs public"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]  # this checkout, whatever else is installed

import accelsim  # noqa: E402

project = "accelsim"
author = "The accelsim authors"
copyright = "The accelsim authors, Apache-2.0"
version = release = accelsim.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
    "reference",  # docs/_ext/reference.py
]
exclude_patterns = ["_ext", "notebooks/*"]
default_role = "code"  # docstrings have names in single backticks

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"accelsim {release}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

copybutton_exclude = ".linenos, .gp, .go"
