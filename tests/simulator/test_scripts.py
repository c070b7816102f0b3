"""What people do at their first calls."""

from __future__ import annotations

import pytest

from simulator.errors import ConfigError
from simulator.scripts import parse_script


def test_the_first_calls_go_as_before_says_and_later_ones_as_the_script() -> None:
    script = parse_script({"before": ["busy", {"steps": [{"keys": "2"}]}], "steps": [{"keys": "1"}]})
    assert [script.at_call(number).answer for number in range(4)] == ["busy", "human", "human", "human"]
    assert [script.at_call(number).steps[0].keys for number in (1, 2, 3)] == ["2", "1", "1"]


def test_before_survives_being_written_down() -> None:
    script = parse_script({"before": ["busy", "machine"], "answer": "no-answer"})
    assert parse_script(script.to_json()) == script


@pytest.mark.parametrize("before", ["busy", [{"before": ["busy"]}], [7]])
def test_a_before_that_cannot_be_meant_is_refused(before: object) -> None:
    with pytest.raises(ConfigError):
        parse_script({"before": before})
