"""No lock-step channel is decoration: one that joins what never works together is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from accelsim import library
from accelsim.architecture import load_architecture
from accelsim.errors import InputError
from accelsim.placement import check_channels


@pytest.mark.parametrize("name", library.names("arch"))
def test_a_channel_to_another_component_is_refused(name: str, tmp_path: Path) -> None:
    """Each lock-step channel in turn goes to each other component: few pairs that work together have no channel yet."""
    source = library.find(name, "arch")
    data = yaml.safe_load(source.read_text())
    given = {(c["from"], c["to"]) for c in data["channels"]}
    refused = tried = 0
    for place, channel in enumerate(data["channels"]):
        if not channel.get("lockstep"):
            continue
        for other in data["components"]:
            ends = channel["from"], other
            if other == channel["from"] or ends in given or ends[::-1] in given:
                continue
            channels = [*data["channels"][:place], channel | {"to": other}, *data["channels"][place + 1 :]]
            path = tmp_path / "chip.yaml"
            path.write_text(yaml.safe_dump(data | {"channels": channels}))
            tried += 1
            try:
                check_channels(load_architecture(path))
            except InputError:
                refused += 1
    # state_and_vector takes the most, 8 of 62: array and vector unit are among them, in lock-step for recurrent layers.
    assert refused >= 0.87 * tried, f"{refused} of {tried}"
