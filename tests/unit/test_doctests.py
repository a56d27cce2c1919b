"""The examples of every public name run, and say what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import accelsim

MODULES = sorted({accelsim._HOMES[name] for name in accelsim.__all__ if name in accelsim._HOMES})
FUNCTIONS = [name for name in accelsim.__all__ if inspect.isfunction(getattr(accelsim, name))]
NO_EXAMPLE = {"load_plugin": "it would need a file of a plug-in; tests/unit/test_plugins.py has them"}


@pytest.mark.parametrize("module", ["accelsim", *MODULES])
def test_examples_run(module: str) -> None:
    done = doctest.testmod(
        importlib.import_module(module), extraglobs={"accelsim": accelsim}, optionflags=doctest.ELLIPSIS
    )
    assert not done.failed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example_and_types(name: str) -> None:
    function = getattr(accelsim, name)
    assert (">>> " in (function.__doc__ or "")) != (name in NO_EXAMPLE)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())
