"""The fuzzer of options knows all of them."""

from __future__ import annotations

import random

from kind_options import KIND, POSITIONS, VALUES, commands, long_name, options

OF_TYPER = {"--install-completion", "--show-completion"}


def test_every_option_and_argument_has_values_to_try():
    for words, command in commands().items():
        for option in options(command):
            takes_none = option.is_flag or option.is_bool_flag
            assert takes_none or long_name(option) in {*VALUES, *OF_TYPER, "--set"}, (words, long_name(option))
        if any(one.param_type_name == "argument" for one in command.params):
            assert words[-1] in POSITIONS, words


def test_every_option_is_tried():
    tried = {text.partition("=")[0] for seed in range(1000) for text in KIND.case(random.Random(seed)).argv}
    every = {long_name(one) for command in commands().values() for one in options(command)}
    short = {long_name(one): set(one.opts) for command in commands().values() for one in options(command)}
    assert {name for name in every if not short[name] & tried} == set()
