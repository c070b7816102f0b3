"""A client's rules for callbacks, as a file states them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest
import yaml

from bot.callbacks.policy import Mode, Policy, Round, from_json, from_mapping, to_json, to_mapping
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


# --- the rest of the keys -------------------------------------------------------------------------


def test_later_rounds_are_looked_for_unless_the_policy_says_none() -> None:
    assert from_mapping({}).rounds == (Round(30, 35), Round(90, 95))
    assert from_mapping({"rounds": []}).rounds == ()
    assert from_mapping({"last_call_day": 60}).rounds == (Round(90, 95),)


@pytest.mark.parametrize(
    "text",
    [
        "daily_cap: 40",
        "daily_cap: none",
        "{daily_cap: 40, calendar: Europe/Berlin}",
        "shifts: always",
        "comparison: none",
        "comparison: all",
        "comparison: 0.25",
        'caller_id: {id: "+62 21 5550 0001", "*": "+15005550006"}',
        "channels_when_failing: [sms, whatsapp]",
        "voicemail: never",
    ],
)
def test_every_other_key_survives_too(text: str) -> None:
    policy = from_mapping(yaml.safe_load(text))
    assert from_mapping(to_mapping(policy)) == policy
    assert from_json(to_json(policy)) == policy


@pytest.mark.parametrize(
    "mapping",
    [
        {"daily_cap": 0},
        {"daily_cap": "many"},
        {"calendar": "Atlantis/Capital"},
        {"shifts": "sometimes"},
        {"comparison": 1.5},
        {"comparison": "half"},
        {"comparison": True},
        {"caller_id": "+15005550006"},
        {"caller_id": {"Indonesia": "+15005550006"}},
        {"caller_id": {"ID": 15005550006}},
        {"channels_when_failing": ["voice"]},
        {"channels_when_failing": "sms"},
        {"channels_when_failing": [["sms"]]},
        {"voicemail": "after the third attempt"},
        {"voicemail": None},
        {"rounds": [{"first_call_day": 20 * n, "last_call_day": 20 * n} for n in range(1, 14)]},
    ],
)
def test_a_value_of_another_key_that_makes_no_sense_is_refused_and_its_key_named(
    mapping: dict[str, object],
) -> None:
    with pytest.raises(InputError) as refused:
        from_mapping(mapping)
    assert next(iter(mapping)) in str(refused.value)
    assert "15005550006" not in str(refused.value)


def test_voicemail_can_only_be_never_and_the_reason_is_told() -> None:
    with pytest.raises(InputError, match="nobody knows who listens"):
        from_mapping({"voicemail": "neutral"})


def test_a_share_of_workers_is_the_same_each_time_and_only_grows() -> None:
    keys = [f"row-{n}" for n in range(2000)]
    drawn = [
        {key for key in keys if Policy(comparison=share).calls_comparison(key)} for share in (0, 0.2, 0.5, 1)
    ]
    assert drawn[0] == set()
    assert drawn[3] == set(keys)
    assert drawn[1] < drawn[2] < drawn[3]
    assert 320 <= len(drawn[1]) <= 480
    assert 920 <= len(drawn[2]) <= 1080


def test_a_country_without_a_number_of_its_own_has_the_one_for_the_rest() -> None:
    policy = from_mapping({"caller_id": {"ID": "+6221", "*": "+1500"}})
    assert (policy.number_for("ID"), policy.number_for("KE")) == ("+6221", "+1500")
    assert Policy().number_for("ID") is None
    assert "6221" not in repr(policy)


def test_a_day_of_the_cap_begins_at_midnight_of_the_calendar() -> None:
    policy = Policy(calendar="America/New_York")
    before_midnight = datetime(2026, 3, 8, 4, 59, tzinfo=UTC)
    assert policy.day_of(before_midnight) == date(2026, 3, 7)
    assert policy.day_after(before_midnight) == datetime(2026, 3, 8, 5, tzinfo=UTC)
    # On 8 March the clocks are set forward there.
    assert policy.day_after(policy.day_after(before_midnight)) == datetime(2026, 3, 9, 4, tzinfo=UTC)
