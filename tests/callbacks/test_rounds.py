"""Who may be called again is asked once more after 30 and 90 days, and nobody else."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from bot.callbacks import consents, policies, rounds, settle
from bot.callbacks.policy import Policy, Round
from bot.callbacks.preference import parse, repeated
from bot.contacts import StopReason
from bot.contacts import stop as put_on_the_stop_list
from bot.storage import tables
from bot.storage.tables import table
from bot.unreadable import LOOK_AGAIN
from tests.journeys.world import (
    BEGIN,
    CALLER,
    CONSENTS,
    DISMISSED,
    REPORTS_DISMISSAL,
    REST,
    Json,
    Worker,
    World,
)

_callback = table(tables.Callback)
FIRST_EVENING = "2026-03-02T18:01:00+07:00"
MONTH_AFTER = "2026-03-27T18:01:00+07:00"
"""The evening of the thirtieth day after the audit of 25 February."""
AGAIN = {"steps": [*BEGIN, *CONSENTS, *DISMISSED[3:], *REST]}
"""What she says when only Q4 to Q10 are asked."""
NOT_AGAIN = {"steps": [*BEGIN, *CONSENTS, *DISMISSED, *REST[:-1], {"keys": "2"}]}


def over(world: World, state: str = "reached", reason: str | None = None, attempts: int = 1) -> None:
    """Let the first round be over, in whatever way."""
    with world.service.database.write() as connection:
        connection.execute(
            update(_callback)
            .where(_callback.c.round == 1)
            .values(
                state=state,
                give_up_reason=reason,
                attempts=attempts,
                due_at=None,
                window_end=None,
                followed=None,
            )
        )


def follow(world: World) -> int:
    """A clock looks once."""
    return rounds.follow(world.service.database, world.clock.now(), 50)


def later(world: World) -> list[Json]:
    """The callbacks of later rounds."""
    return [each for each in world.rounds() if each["round"] > 1]


# --- as it goes -----------------------------------------------------------------------------------


def test_a_month_later_she_is_asked_only_what_may_have_changed(sqlite_world: World) -> None:
    world = sqlite_world
    worker = Worker(script=REPORTS_DISMISSAL)
    world.interviewed(worker)
    world.at(FIRST_EVENING)
    world.rest()
    assert world.callback()["state"] == "reached"
    (second,) = later(world)
    assert (second["round"], second["state"], second["due_at"]) == (
        2,
        "scheduled",
        "2026-03-27T11:00:00+00:00",
    )
    asked_first = [question for question, _, _ in world.answers()]
    world.network.script(worker.number, AGAIN)
    world.at("2026-03-26T18:01:00+07:00")
    world.rest()
    assert len(world.network.calls()) == 1, "a day too early"
    world.at(MONTH_AFTER)
    world.rest()
    assert [each["state"] for each in world.rounds()][:2] == ["reached", "reached"]
    asked = [question for question, _, _ in world.answers()][len(asked_first) :]
    assert {"q1", "q2", "q3"} <= set(asked_first)
    assert {"q4", "q8"} <= set(asked)
    assert not {"q1", "q2", "q3"} & set(asked)
    assert [each["round"] for each in later(world)] == [2, 3]
    assert later(world)[1]["due_at"].startswith("2026-05-26")


def test_who_calls_us_between_two_rounds_has_the_later_one_at_its_time_all_the_same(
    sqlite_world: World,
) -> None:
    world = sqlite_world
    worker = Worker(script=REPORTS_DISMISSAL)
    world.interviewed(worker)
    world.at(FIRST_EVENING)
    world.rest()
    world.at("2026-03-06T10:00:00+07:00")
    world.network.ring(worker.number, CALLER, {"steps": [*BEGIN, *CONSENTS, {"hangup": True}]})
    world.rest()
    (second,) = later(world)
    assert (second["state"], second["attempts"]) == ("scheduled", [])
    world.at("2026-03-28T10:00:00+07:00")
    world.network.ring(worker.number, CALLER, AGAIN)
    world.rest()
    second, *_ = later(world)
    assert (second["state"], len(second["attempts"])) == ("reached", 1)


def test_who_does_not_want_to_be_contacted_again_is_not(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(script=NOT_AGAIN))
    world.at(FIRST_EVENING)
    world.rest()
    assert world.callback()["state"] == "reached"
    assert {row.scope: row.given for row in world.rows(tables.Consent)}["contact_again"] is False
    assert later(world) == []


def test_a_word_against_it_withdraws_a_round_that_is_planned(sqlite_world: World) -> None:
    world = sqlite_world
    worker = Worker(script=REPORTS_DISMISSAL)
    world.interviewed(worker)
    world.at(FIRST_EVENING)
    world.rest()
    (contact_id,) = {row.contact_id for row in world.rows(tables.Callback)}
    with world.service.database.write() as connection:
        consents.no_more_contact(connection, contact_id, world.clock.now())
    (second,) = later(world)
    assert (second["state"], second["give_up_reason"]) == ("given_up", "no_contact")
    policies.set_for_client(world.service, "Brand A", Policy(first_call_day=4))
    follow(world)
    assert [each["state"] for each in later(world)] == ["given_up"]


def test_who_could_not_be_reached_is_tried_again_in_the_next_round(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(script="busy"))
    policies.set_for_client(world.service, "Brand A", Policy(max_attempts=1))
    world.at(FIRST_EVENING)
    world.rest()
    assert world.callback()["give_up_reason"] == "attempts_used"
    (second,) = later(world)
    assert (second["state"], second["attempts"]) == ("scheduled", [])


# --- who is left alone ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("stopped", "stopped"),
        ("stopped", "no_consent"),
        ("refused", None),
        ("unsafe", None),
        ("given_up", "wrong_number"),
        ("given_up", "third_party_limit"),
        ("given_up", "unverified_limit"),
        ("given_up", "cut_off"),
        ("given_up", "ended_early"),
        ("given_up", "not_in_sample"),
        ("given_up", "no_contact"),
    ],
)
def test_nobody_is_followed_of_whom_there_was_a_word_against_it(
    sqlite_world: World, state: str, reason: str | None
) -> None:
    sqlite_world.interviewed(Worker())
    over(sqlite_world, state, reason)
    assert follow(sqlite_world) == 0
    assert later(sqlite_world) == []


def test_who_said_stop_meanwhile_is_not_called(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    over(world)
    (row,) = world.rows(tables.Callback)
    with world.service.database.write() as connection:
        put_on_the_stop_list(connection, row.address_id, row.contact_id, StopReason.WORKER, world.clock.now())
    follow(world)
    assert [each["state"] for each in later(world)] in ([], ["stopped"])


# --- once, and whatever happens -----------------------------------------------------------------------


def test_a_callback_that_cannot_be_read_keeps_nobody_else_from_the_next_round(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(alias="W-1"), Worker(number="+6281200000002", alias="W-2"))
    over(world)
    first = world.rows(tables.Callback)[0].id
    with world.service.database.write() as connection:
        connection.execute(update(_callback).where(_callback.c.id == first).values(timezone="Mars/North"))
    assert follow(world) == 1
    with world.service.database.write() as connection:
        connection.execute(update(_callback).where(_callback.c.id == first).values(timezone="Asia/Jakarta"))
    world.pass_time(LOOK_AGAIN)
    assert follow(world) == 1, "it is followed once it can be read"


def test_any_number_of_clocks_make_one_callback_for_each_worker(world: World) -> None:
    world.interviewed(*(Worker(number=f"+62812000001{n:02}", alias=f"W-{n}") for n in range(12)))
    over(world)
    made: list[int] = []
    gate = threading.Barrier(4)

    def look() -> None:
        gate.wait()
        made.append(follow(world))

    clocks = [threading.Thread(target=look) for _ in range(4)]
    for each in clocks:
        each.start()
    for each in clocks:
        each.join()
    assert sum(made) == 12
    assert follow(world) == 0
    assert [each["round"] for each in later(world)] == [2] * 12
    assert len({row.cohort_member_id for row in world.rows(tables.Callback) if row.round == 2}) == 12


def test_a_clock_that_dies_in_the_middle_leaves_it_to_the_next(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_world.interviewed(Worker())
    over(sqlite_world)
    with monkeypatch.context() as patch:

        def die(*_: object) -> None:
            raise SystemExit("the machine lost its power")

        patch.setattr(settle, "schedule", die)
        with pytest.raises(SystemExit):
            follow(sqlite_world)
    assert later(sqlite_world) == []
    assert follow(sqlite_world) == 1


# --- with policies and uploads ------------------------------------------------------------------------


def test_a_round_that_a_policy_gets_later_holds_for_audits_whose_days_are_not_over(
    sqlite_world: World,
) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    policies.set_for_client(world.service, "Brand A", Policy(rounds=()))
    over(world)
    assert follow(world) == 0
    world.pass_time(timedelta(days=40))  # day 45 after the audit
    policies.set_for_client(world.service, "Brand A", Policy())
    assert follow(world) == 1
    assert [(each["round"], each["due_at"][:10]) for each in later(world)] == [(3, "2026-05-26")]


def test_a_round_moves_and_goes_with_the_policy_and_comes_back(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    over(world)
    follow(world)

    def second() -> tuple[str, str | None]:
        (each,) = later(world)
        return each["give_up_reason"] or each["state"], (each["due_at"] or "")[:10]

    assert second() == ("scheduled", "2026-03-27")
    for policy, expected in (
        (Policy(rounds=(Round(20, 22),)), ("scheduled", "2026-03-17")),
        (Policy(rounds=()), ("no_round", "")),
        (Policy(), ("scheduled", "2026-03-27")),
    ):
        policies.set_for_client(world.service, "Brand A", policy)
        follow(world)
        assert second() == expected


def test_an_upload_that_changes_her_wish_changes_it_in_every_round_that_nobody_dialled(
    sqlite_world: World,
) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    over(world)
    follow(world)
    world.interviewed(Worker(preferred_time="2026-03-05 morning"))
    (second,) = later(world)
    assert second["preference"] == "weekday_morning"
    assert second["due_at"] == "2026-03-27T01:00:00+00:00"
    assert world.callback()["state"] == "reached"


def test_a_part_of_one_day_is_read_as_a_part_of_days_of_its_kind() -> None:
    wish = parse("2026-05-02 evening;2026-05-04 lunch;mon_night;2026-05-02 18:30")
    assert str(repeated(wish, "ID")) == "weekend_evening;weekday_lunch;mon_night;2026-05-02 18:30"


def test_looking_uses_the_small_index(sqlite_world: World) -> None:
    with sqlite_world.service.database.read() as connection:
        query = select(_callback.c.id).where(rounds._UNFOLLOWED).limit(50)
        text = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        told = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").fetchall()
    assert "callback_unfollowed" in str(told)
