"""What happens to cases becomes sums: once, when it can no longer be taken back, with the time that it took."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import insert

from bot import tally
from bot.cases import counted, standing
from bot.cases.actions import ChangeSeverity, MarkReviewed, Move, TakeBack
from bot.cases.lifecycle import CaseState, ClockName, Severity
from bot.ids import new_id
from bot.storage import tables
from bot.storage.tables import table
from bot.tally import Counts, What
from tests.cases.conftest import DAY, HOUR, Desk
from tests.cases.planting import Planted

S = CaseState
MINUTES = timedelta(minutes=11)
OTHER, THIRD = "+6281234567891", "+6281234567892"
TO_TRIAGE = (S.SAFETY_SCREEN, S.ACKNOWLEDGED, S.TRIAGED)
TO_REMEDY = (S.SHARING_CONSENT, S.INVESTIGATING, S.SUBSTANTIATED, S.REMEDY_AGREED)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind is enough: the statements are plain, and the journeys of tests/test_tally.py count on both."""
    return sqlite_url


def fold(desk: Desk) -> None:
    """Count what can be counted now."""
    with desk.database.write() as connection:
        counts: Counts = Counter()
        counted.fold_events(connection, counts, desk.clock.now(), 1000)
        counted.fold_grievances(connection, counts, 1000)
        tally.add(connection, counts)


def sums(desk: Desk, what: What) -> dict[str, int]:
    """The sums over all days, by code, after everything was counted twice."""
    desk.clock.advance(MINUTES)
    for _ in range(2):
        fold(desk)
    with desk.database.read() as connection:
        found = tally.over_clients(connection, tally.ALL_DAYS, tally.ALL_DAYS, [what])
    return {each.code: each.number for each in found}


def happened(desk: Desk, case: Planted, kind: str, detail: str | None = None) -> None:
    """Something happens to a case that nobody at the desk does."""
    with desk.database.write() as connection:
        connection.execute(
            insert(table(tables.CaseEvent)).values(
                id=new_id(), case_id=case.id, kind=kind, detail=detail, created_at=desk.clock.now()
            )
        )


def test_each_step_of_a_case_is_counted_once_with_the_time_to_it(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S3)
    at_desk.clock.advance(3 * HOUR)
    at_desk.do(case, MarkReviewed())
    at_desk.do(case, MarkReviewed())
    at_desk.clock.advance(2 * DAY)
    at_desk.walk(case, *TO_TRIAGE)
    assert sums(at_desk, What.CASE) == {"safety_screen": 1, "acknowledged": 1, "triaged": 1}
    assert sums(at_desk, What.CASE_REVIEW) == {str(4 * 3600): 1}
    assert sums(at_desk, What.CASE_TRIAGE) == {str(3 * 86400): 1}
    assert sums(at_desk, What.CASE_CLOCK) == {"review kept": 1, "safety kept": 1}


def test_what_is_taken_back_was_never_counted(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.do(case, Move(S.SAFETY_SCREEN))
    fold(at_desk)
    at_desk.do(case, TakeBack())
    assert sums(at_desk, What.CASE) == {}
    at_desk.do(case, Move(S.SAFETY_SCREEN))
    assert sums(at_desk, What.CASE) == {"safety_screen": 1}


def test_a_case_that_is_reopened_is_closed_twice_and_took_as_long_as_the_first_time(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S4)
    at_desk.clock.advance(40 * DAY)
    at_desk.do(case, Move(S.WITHDRAWN, "she asked us to"))
    at_desk.clock.advance(DAY)
    at_desk.do(case, Move(S.REOPENED, "she came back"))
    at_desk.clock.advance(DAY)
    at_desk.do(case, Move(S.WITHDRAWN, "again"))
    found = sums(at_desk, What.CASE)
    assert found == {"withdrawn": 1, "reopened": 1, "reopened_closed": 1, "closed": 2}
    assert sums(at_desk, What.CASE_CLOSE) == {str(45 * 86400): 1}
    assert sums(at_desk, What.CASE_CLOCK) == {"close kept": 2}


@pytest.mark.parametrize(("later", "end"), [(timedelta(hours=4), "kept"), (timedelta(hours=5), "broken")])
def test_a_review_is_in_time_or_late_by_the_clock_of_its_severity(
    at_desk: Desk, later: timedelta, end: str
) -> None:
    case = at_desk.plant(severity=Severity.S2)
    happened(at_desk, case, "opened", "S2")
    at_desk.clock.advance(later)
    at_desk.do(case, MarkReviewed())
    at_desk.do(case, ChangeSeverity(Severity.S4))
    assert sums(at_desk, What.CASE_CLOCK) == {f"review {end}": 1}


def test_clocks_begin_anew_when_something_graver_is_reported(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S1)
    happened(at_desk, case, "opened", "S3")
    at_desk.clock.advance(5 * HOUR)
    happened(at_desk, case, "severity_raised", "S1")
    at_desk.clock.advance(HOUR)
    at_desk.do(case, MarkReviewed())
    assert sums(at_desk, What.CASE_CLOCK) == {"review kept": 1}


@pytest.mark.parametrize(("waits", "end"), [(20, "kept"), (10, "broken")])
def test_what_a_case_waits_for_the_worker_is_no_delay_of_its_plan(
    at_desk: Desk, waits: int, end: str
) -> None:
    case = at_desk.plant(severity=Severity.S3)
    at_desk.walk(case, *TO_TRIAGE, S.SHARING_CONSENT)
    at_desk.clock.advance(waits * DAY)
    at_desk.walk(case, S.INVESTIGATING, S.SUBSTANTIATED)
    at_desk.clock.advance((25 - waits) * DAY)
    at_desk.walk(case, S.REMEDY_AGREED)
    assert sums(at_desk, What.CASE_CLOCK) == {"safety kept": 1, f"plan {end}": 1}


def test_the_first_answer_of_a_person_is_counted_and_no_other(at_desk: Desk) -> None:
    case = at_desk.plant()
    for _ in range(2):
        at_desk.clock.advance(HOUR)
        happened(at_desk, case, "answered_worker")
    assert sums(at_desk, What.CASE_REPLY) == {"3600": 1}


@pytest.mark.parametrize(("written_before", "code"), [(False, str(2 * 3600)), (True, "3600")])
def test_a_talk_with_an_agent_answers_her_unless_somebody_wrote_before(
    at_desk: Desk, written_before: bool, code: str
) -> None:
    case = at_desk.plant()
    at_desk.clock.advance(HOUR)
    if written_before:
        happened(at_desk, case, "answered_worker")
    at_desk.clock.advance(HOUR)
    now, transfer_id = at_desk.clock.now(), new_id()
    with at_desk.database.write() as connection:
        connection.execute(
            insert(table(tables.Transfer)).values(
                id=transfer_id,
                conversation_id=case.conversation_id,
                language="id",
                state="ended",
                outcome="talked",
                ring=1,
                lease_until=now,
                waiting_since=now,
                answered_at=now,
                ended_at=now,
            )
        )
        counts: Counts = Counter()
        counted.count_talks(connection, counts, [transfer_id])
        tally.add(connection, counts)
    at_desk.clock.advance(HOUR)
    happened(at_desk, case, "answered_worker")
    assert sums(at_desk, What.CASE_REPLY) == {code: 1}


def test_a_wish_for_a_person_is_nothing_reported(at_desk: Desk) -> None:
    case = at_desk.plant()
    with at_desk.database.write() as connection:
        connection.execute(
            insert(table(tables.Grievance)).values(
                id=new_id(),
                case_id=case.id,
                conversation_id=case.conversation_id,
                question="wants_a_person",
                category="unclassified",
                severity="S3",
                indicators="",
                created_at=at_desk.clock.now(),
            )
        )
    assert sums(at_desk, What.GRIEVANCE) == {"otherwise": 1}


# --- open cases -----------------------------------------------------------------------------------


def test_open_cases_are_told_by_severity_and_by_the_clock_that_ran_out(at_desk: Desk) -> None:
    critical, high = at_desk.plant(severity=Severity.S1), at_desk.plant(severity=Severity.S2, number=OTHER)
    at_desk.do(high, MarkReviewed())
    at_desk.walk(at_desk.plant(severity=Severity.S2, number=THIRD), S.WITHDRAWN)
    at_desk.clock.advance(5 * HOUR)
    with at_desk.database.read() as connection:
        found = standing.read(connection, at_desk.clock.now())
    assert found.open == 2
    assert [(s, level.open) for s, level in found.levels.items() if level.open] == [("S1", 1), ("S2", 1)]
    assert {name for name, number in found.levels[Severity.S1].late.items() if number} == {
        ClockName.REVIEW,
        ClockName.SAFETY,
    }
    assert not any(found.levels[Severity.S2].late.values())
    assert found.states == {"received": 2}
    assert critical.id != high.id


def test_a_case_is_neglected_a_day_after_its_clock_ran_out(at_desk: Desk) -> None:
    at_desk.plant(severity=Severity.S1)
    found = []
    for _ in range(2):
        at_desk.clock.advance(24 * HOUR)
        with at_desk.database.read() as connection:
            found.append(standing.counted(connection, at_desk.clock.now()))
    assert found == [(1, 0), (1, 1)]


def test_open_cases_are_as_old_as_they_are_and_reopened_ones_were_counted_before(at_desk: Desk) -> None:
    at_desk.plant()
    reopened = at_desk.plant(number=OTHER)
    at_desk.walk(reopened, S.WITHDRAWN, S.REOPENED)
    at_desk.clock.advance(3 * DAY + HOUR)
    with at_desk.database.read() as connection:
        assert standing.ages(connection, at_desk.clock.now()) == {str(5 * 86400): 1}
