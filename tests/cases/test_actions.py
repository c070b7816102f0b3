"""What is done to a case, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert

from bot.cases import actions
from bot.cases.actions import AddNote, ChangeSeverity, MarkReviewed, Move, Take, TakeBack
from bot.cases.course import WORKER_CHECK_QUESTION
from bot.cases.lifecycle import CaseState, ClockName, Severity
from bot.errors import ConflictError, InputError, NotFound
from bot.ids import new_id
from bot.storage.tables import Conversation, table
from tests.cases.conftest import DAY, HOUR, ME, Desk
from tests.cases.planting import Planted, answer

TO_WORKER_CHECK = (
    CaseState.SAFETY_SCREEN,
    CaseState.ACKNOWLEDGED,
    CaseState.TRIAGED,
    CaseState.SHARING_CONSENT,
    CaseState.INVESTIGATING,
    CaseState.SUBSTANTIATED,
    CaseState.REMEDY_AGREED,
    CaseState.REMEDY_IN_PROGRESS,
    CaseState.EMPLOYER_SAYS_DONE,
    CaseState.WORKER_CHECK,
)


def test_a_case_that_does_not_exist_is_not_found(at_desk: Desk) -> None:
    with at_desk.database.write() as connection, pytest.raises(NotFound):
        actions.act(
            connection, at_desk.sealer, "0" * 32, Take(), staff_id=ME, version=0, now=at_desk.clock.now()
        )


def test_every_action_leaves_an_event(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.do(case, Take())
    at_desk.do(case, MarkReviewed())
    at_desk.do(case, AddNote("called the partner NGO"))
    at_desk.do(case, ChangeSeverity(Severity.S1))
    at_desk.do(case, Move(CaseState.SAFETY_SCREEN))
    seen = at_desk.do(case, TakeBack())
    assert [(happening.kind, happening.detail, happening.staff) for happening in seen.events] == [
        ("taken", None, "me"),
        ("reviewed", None, "me"),
        ("note", None, "me"),
        ("severity", "S2>S1", "me"),
        ("state", "received>safety_screen", "me"),
        ("undo", "safety_screen>received", "me"),
    ]
    assert seen.events[2].note == "called the partner NGO"


def test_two_people_cannot_act_on_the_same_version(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.do(case, Take(), version=0)
    with pytest.raises(ConflictError):
        at_desk.do(case, Move(CaseState.SAFETY_SCREEN), version=0)
    assert at_desk.see(case).state is CaseState.RECEIVED


def test_a_note_is_never_too_late(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.do(case, Take(), version=0)
    seen = at_desk.do(case, AddNote("still true"), version=0)
    assert [happening.note for happening in seen.events] == [None, "still true"]


@pytest.mark.parametrize(("text", "code"), [("  ", "note_missing"), ("x" * 4001, "note_long")])
def test_an_empty_or_endless_note_is_refused(at_desk: Desk, text: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        at_desk.do(at_desk.plant(), AddNote(text))
    assert refused.value.code == code


def test_a_way_that_is_not_open_is_refused(at_desk: Desk) -> None:
    case = at_desk.plant()
    with pytest.raises(InputError) as refused:
        at_desk.do(case, Move(CaseState.CLOSED_VALIDATED, "the employer wrote that all is well"))
    assert refused.value.code == "way_closed"


def test_closing_asks_for_a_reason(at_desk: Desk) -> None:
    case = at_desk.plant()
    with pytest.raises(InputError) as refused:
        at_desk.do(case, Move(CaseState.WITHDRAWN))
    assert refused.value.code == "note_missing"
    assert at_desk.do(case, Move(CaseState.WITHDRAWN, "she asked us to")).events[-1].note == "she asked us to"


def test_a_critical_case_is_due_for_review_again_a_day_later(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S1)
    assert at_desk.see(case).running[0] == (ClockName.REVIEW, at_desk.clock.now() + HOUR)
    assert at_desk.do(case, MarkReviewed()).running[0] == (ClockName.REVIEW, at_desk.clock.now() + DAY)


def test_another_severity_brings_its_own_clocks(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S3)
    received = at_desk.clock.now()
    at_desk.clock.advance(HOUR)
    seen = at_desk.do(case, ChangeSeverity(Severity.S1))
    assert dict(seen.running) == {
        ClockName.REVIEW: received + HOUR,
        ClockName.SAFETY: received + 4 * HOUR,
        ClockName.PLAN: received + DAY,
    }
    with pytest.raises(InputError):
        at_desk.do(case, ChangeSeverity(Severity.S1))


def test_the_clocks_stand_still_while_it_is_the_workers_turn(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S3)
    before = dict(at_desk.walk(case, *TO_WORKER_CHECK[:3]).running)
    at_desk.walk(case, CaseState.SHARING_CONSENT)
    at_desk.clock.advance(3 * DAY)
    after = dict(at_desk.walk(case, CaseState.INVESTIGATING).running)
    assert after[ClockName.PLAN] == before[ClockName.PLAN] + 3 * DAY
    assert after[ClockName.CLOSE] == before[ClockName.CLOSE] + 3 * DAY


def test_the_last_move_can_be_taken_back_for_ten_minutes(at_desk: Desk) -> None:
    case = at_desk.plant()
    seen = at_desk.walk(case, CaseState.SAFETY_SCREEN, CaseState.ACKNOWLEDGED)
    assert seen.undo is not None
    assert seen.undo.back_to is CaseState.SAFETY_SCREEN
    at_desk.clock.advance(timedelta(minutes=10))
    assert at_desk.do(case, TakeBack()).state is CaseState.SAFETY_SCREEN
    at_desk.clock.advance(timedelta(seconds=1))
    assert at_desk.see(case).undo is None
    with pytest.raises(InputError) as refused:
        at_desk.do(case, TakeBack())
    assert refused.value.code == "undo_over"


def test_taking_back_gives_the_clocks_back_too(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S3)
    at_desk.walk(case, *TO_WORKER_CHECK[:4])
    at_desk.clock.advance(2 * DAY)
    moved = dict(at_desk.walk(case, CaseState.INVESTIGATING).running)
    at_desk.do(case, TakeBack())
    at_desk.clock.advance(DAY)
    again = dict(at_desk.walk(case, CaseState.INVESTIGATING).running)
    assert again[ClockName.CLOSE] == moved[ClockName.CLOSE] + DAY


def test_a_held_case_goes_on_where_it_was(at_desk: Desk) -> None:
    case = at_desk.plant()
    seen = at_desk.walk(case, CaseState.SAFETY_SCREEN, CaseState.HELD)
    assert [way.to for way in seen.ways] == [CaseState.SAFETY_SCREEN, CaseState.WITHDRAWN]


def test_a_reopened_case_gets_fresh_clocks(at_desk: Desk) -> None:
    case = at_desk.plant(severity=Severity.S3)
    at_desk.walk(case, CaseState.WITHDRAWN)
    at_desk.clock.advance(100 * DAY)
    running = dict(at_desk.walk(case, CaseState.REOPENED).running)
    assert running[ClockName.PLAN] == at_desk.clock.now() + 10 * DAY


def test_only_the_workers_recorded_yes_closes_a_case_as_validated(at_desk: Desk) -> None:
    case = at_desk.plant()
    # What was said before the case waited for the worker does not count.
    answer(at_desk.database, case.conversation_id, WORKER_CHECK_QUESTION, "yes", at_desk.clock.now(), 50)
    at_desk.clock.advance(HOUR)
    seen = at_desk.walk(case, *TO_WORKER_CHECK)
    assert CaseState.CLOSED_VALIDATED not in {way.to for way in seen.ways}
    with pytest.raises(InputError):
        at_desk.do(case, Move(CaseState.CLOSED_VALIDATED, "the employer sent photographs"))
    answer(at_desk.database, case.conversation_id, WORKER_CHECK_QUESTION, "yes", at_desk.clock.now())
    assert CaseState.DISPUTED not in {way.to for way in at_desk.see(case).ways}
    assert at_desk.do(case, Move(CaseState.CLOSED_VALIDATED)).state is CaseState.CLOSED_VALIDATED


def test_the_workers_no_disputes_the_remedy(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.walk(case, *TO_WORKER_CHECK)
    answer(at_desk.database, case.conversation_id, WORKER_CHECK_QUESTION, "no", at_desk.clock.now())
    ways = {way.to for way in at_desk.see(case).ways}
    assert CaseState.CLOSED_VALIDATED not in ways
    assert at_desk.walk(case, CaseState.DISPUTED, CaseState.REOPENED).state is CaseState.REOPENED


def test_another_person_on_the_same_telephone_does_not_speak_for_the_worker(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.walk(case, *TO_WORKER_CHECK)
    stranger, herself = _talk(at_desk, case, None), _talk(at_desk, case, case.contact_id)
    answer(at_desk.database, stranger, WORKER_CHECK_QUESTION, "yes", at_desk.clock.now())
    assert CaseState.CLOSED_VALIDATED not in {way.to for way in at_desk.see(case).ways}
    answer(at_desk.database, herself, WORKER_CHECK_QUESTION, "yes", at_desk.clock.now())
    assert CaseState.CLOSED_VALIDATED in {way.to for way in at_desk.see(case).ways}


def _talk(at_desk: Desk, case: Planted, contact_id: str | None) -> str:
    """A later conversation on the telephone of a case's worker."""
    now: datetime = at_desk.clock.now()
    row = {
        "id": new_id(),
        "address_id": case.address_id,
        "contact_id": contact_id,
        "channel": "voice",
        "call_id": new_id(),
        "line": "+15005550006",
        "flow": "callback",
        "revision": "r1",
        "language": "id",
        "state": "ended",
        "session_sealed": b"x",
        "sprint": new_id(),
        "started_at": now,
        "updated_at": now,
    }
    with at_desk.database.write() as connection:
        connection.execute(insert(table(Conversation)).values(row))
    return str(row["id"])
