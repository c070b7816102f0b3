"""A client's rules for callbacks, as a file states them."""

from __future__ import annotations

from datetime import date, time

import pytest
import yaml

from bot.callbacks.policy import Mode, Policy, Round, from_mapping, to_mapping
from bot.errors import InputError


def test_an_empty_policy_is_the_careful_default() -> None:
    policy = from_mapping({})
    assert (policy.first_call_day, policy.last_call_day) == (5, 10)
    assert (policy.max_attempts, policy.attempts_per_day, policy.spacing_hours) == (6, 1, 20)
    assert policy.mode is Mode.AUTOMATIC
    assert policy == Policy()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "attempts: unlimited",
        "attempts: {max: 2}",
        "{first_call_day: 0, last_call_day: 0, quiet_from: '23:00', spacing_hours: 2.5, mode: agent}",
        "rounds: [{first_call_day: 30, last_call_day: 35}, {first_call_day: 90, last_call_day: 95}]",
    ],
)
def test_a_policy_survives_being_written_and_read(text: str) -> None:
    policy = from_mapping(yaml.safe_load(text))
    assert from_mapping(to_mapping(policy)) == policy
    assert from_mapping(yaml.safe_load(yaml.safe_dump(to_mapping(policy)))) == policy


@pytest.mark.parametrize(
    ("mapping", "attempts"),
    [
        ({"attempts": "unlimited"}, None),
        ({"attempts": {"max": 2}}, 2),
        ({"attempts": 3}, 3),
        ({"max_attempts": 4}, 4),
        ({"max_attempts": None}, None),
    ],
)
def test_attempts_are_a_number_or_unlimited(mapping: dict[str, object], attempts: int | None) -> None:
    assert from_mapping(mapping).max_attempts == attempts


def test_a_time_without_quotes_is_still_a_time() -> None:
    policy = from_mapping(yaml.safe_load("quiet_from: 21:45\nquiet_until: 07:15"))
    assert (policy.quiet_from, policy.quiet_until) == (time(21, 45), time(7, 15))


@pytest.mark.parametrize(
    ("key", "meant"), [("spacing", "spacing_hours"), ("atempts", "attempts"), ("Mode", "mode")]
)
def test_an_unknown_key_is_refused_with_the_likely_one(key: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{meant}'") as refused:
        from_mapping({key: 1})
    assert refused.value.code == "unknown_key"


@pytest.mark.parametrize(
    "mapping",
    [
        {"first_call_day": 11},
        {"first_call_day": -1},
        {"first_call_day": "5"},
        {"first_call_day": True},
        {"last_call_day": 5000},
        {"attempts": 0},
        {"attempts": "two"},
        {"attempts": {"maximum": 2}},
        {"attempts": {}},
        {"attempts": 2, "max_attempts": 2},
        {"attempts_per_day": 0},
        {"spacing_hours": -1},
        {"spacing_hours": "20"},
        {"quiet_from": "25:00"},
        {"quiet_from": 5000},
        {"skip_public_holidays": "yes"},
        {"mode": "robot"},
        {"rounds": 3},
        {"rounds": [{"first_call_day": 30}]},
        {"rounds": [{"first_call_day": 9, "last_call_day": 12}]},
        {"rounds": [{"first_call_day": 30, "last_call_day": 20}]},
    ],
)
def test_a_value_that_makes_no_sense_is_refused_and_its_key_named(mapping: dict[str, object]) -> None:
    with pytest.raises(InputError) as refused:
        from_mapping(mapping)
    assert any(part in str(refused.value) for part in (*mapping, "call_day", "attempts"))


def test_rounds_are_counted_from_the_audit_day() -> None:
    policy = from_mapping({"rounds": [{"first_call_day": 30, "last_call_day": 35}]})
    assert policy.all_rounds() == (Round(5, 10), Round(30, 35))
    assert policy.all_rounds()[0].days(date(2028, 2, 25)) == (date(2028, 3, 1), date(2028, 3, 6))
