"""What the desk shows and does, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import event, insert, update

from bot.cases import desk
from bot.cases.desk import (
    Action,
    AddNote,
    CaseDetail,
    ChangeSeverity,
    MarkReviewed,
    Move,
    Scope,
    Take,
    TakeBack,
)
from bot.cases.lifecycle import CLOSED, OPEN, CaseState, ClockName, Severity
from bot.clock import FrozenClock
from bot.errors import ConflictError, InputError, NotFound
from bot.ids import new_id
from bot.messages import Address, AddressKind
from bot.privacy.seal import Sealer
from bot.storage.database import Database
from bot.storage.tables import Case, Conversation, Message, Staff, Stop, table
from tests.cases.planting import ALIAS, NUMBER, Planted, answer, plant, say

ME = "a" * 32
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Desk:
    """Somebody at the desk, who works on one case after the other."""

    def __init__(self, database: Database, sealer: Sealer, clock: FrozenClock) -> None:
        self.database, self.sealer, self.clock = database, sealer, clock

    def plant(self, **wishes: object) -> Planted:
        """A new case, received now."""
        return plant(self.database, self.sealer, self.clock.now(), **wishes)  # type: ignore[arg-type]  # passed on as they are

    def see(self, case: Planted) -> CaseDetail:
        """The page of a case."""
        with self.database.read() as connection:
            return desk.detail(connection, self.sealer, case.id, self.clock.now())

    def do(self, case: Planted, action: Action, version: int | None = None) -> CaseDetail:
        """Do something to a case, and see it again."""
        seen = self.see(case).version if version is None else version
        with self.database.write() as connection:
            desk.act(
                connection,
                self.sealer,
                case.id,
                action,
                staff_id=ME,
                version=seen,
                now=self.clock.now(),
            )
        return self.see(case)

    def walk(self, case: Planted, *states: CaseState) -> CaseDetail:
        """Move a case along, with a reason wherever one is asked for."""
        for state in states:
            self.do(case, Move(state, "because"))
        return self.see(case)

    def list(self, scope: Scope = Scope.OPEN, **wishes: object) -> desk.Page:
        """One page of the queue."""
        with self.database.read() as connection:
            return desk.queue(connection, scope, self.clock.now(), staff_id=ME, **wishes)  # type: ignore[arg-type]  # passed on as they are


@pytest.fixture
def at_desk(database: Database, sealer: Sealer, frozen_clock: FrozenClock) -> Desk:
    """A supervisor at the desk."""
    me = {
        "id": ME,
        "name": "me",
        "password_hash": "x",
        "totp_sealed": b"x",
        "totp_step": 0,
        "roles": "supervisor",
        "active": True,
        "created_at": frozen_clock.now(),
    }
    with database.write() as connection:
        connection.execute(insert(table(Staff)).values(me))
    return Desk(database, sealer, frozen_clock)


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


def test_what_is_overdue_comes_first_then_the_gravest_then_the_next_clock(at_desk: Desk) -> None:
    late = at_desk.plant(severity=Severity.S3, number="+6281200000001")
    at_desk.clock.advance(2 * DAY)
    low = at_desk.plant(severity=Severity.S4, number="+6281200000002")
    high_first = at_desk.plant(severity=Severity.S2, number="+6281200000003")
    at_desk.clock.advance(HOUR)
    high_next = at_desk.plant(severity=Severity.S2, number="+6281200000004")
    grave = at_desk.plant(severity=Severity.S1, number="+6281200000005")
    order = [line.id for line in at_desk.list().lines]
    assert order == [case.id for case in (late, grave, high_first, high_next, low)]


def test_the_order_of_sql_is_that_of_the_clocks_in_every_state(at_desk: Desk) -> None:
    cases = [at_desk.plant(number=f"+62812{n:08d}") for n in range(len(OPEN) * 2)]
    states = sorted(OPEN) * 2
    with at_desk.database.write() as connection:
        for n, (case, state) in enumerate(zip(cases, states, strict=True)):
            values = {
                "state": state,
                "severity": f"S{n % 4 + 1}",
                "review_due_at": at_desk.clock.now() + timedelta(hours=(n * 7) % 11),
                "safety_due_at": at_desk.clock.now() + timedelta(hours=(n * 5) % 13),
                "plan_due_at": at_desk.clock.now() + timedelta(hours=(n * 3) % 17),
                "close_due_at": at_desk.clock.now() + timedelta(hours=n) if n % 3 else None,
                "reviewed_at": at_desk.clock.now() if n >= len(OPEN) else None,
            }
            connection.execute(update(table(Case)).where(table(Case).c.id == case.id).values(values))
    at_desk.clock.advance(timedelta(hours=4, minutes=30))
    now, far = at_desk.clock.now(), at_desk.clock.now() + 999 * DAY
    lines = at_desk.list().lines
    keys = [((line.due_at or far) > now, line.severity, line.due_at or far, line.id) for line in lines]
    assert len(lines) == len(cases)
    assert keys == sorted(keys)


@pytest.mark.parametrize("scope", [Scope.OPEN, Scope.CLOSED])
def test_pages_show_every_case_once(at_desk: Desk, scope: Scope) -> None:
    state = CaseState.RECEIVED if scope is Scope.OPEN else CaseState.WITHDRAWN
    planted = {
        at_desk.plant(number=f"+62812{n:08d}", severity=list(Severity)[n % 4], state=state).id
        for n in range(9)
    }
    seen: list[str] = []
    after: desk.Cursor | None = None
    while True:
        page = at_desk.list(scope, after=after, limit=2)
        seen += [line.id for line in page.lines]
        # The list stays the one that was begun, although clocks run out meanwhile.
        at_desk.clock.advance(3 * HOUR)
        if page.following is None:
            break
        after = page.following
    assert len(seen) == len(planted)
    assert set(seen) == planted


def test_lists_are_narrowed_by_owner_severity_and_state(at_desk: Desk) -> None:
    mine = at_desk.plant(number="+6281200000001", severity=Severity.S3)
    other = at_desk.plant(number="+6281200000002")
    closed = at_desk.plant(number="+6281200000003", state=CaseState.REFERRED)
    at_desk.do(mine, Take())
    assert [line.id for line in at_desk.list(Scope.MINE).lines] == [mine.id]
    assert [line.id for line in at_desk.list(severity=Severity.S2).lines] == [other.id]
    assert [line.id for line in at_desk.list(Scope.CLOSED).lines] == [closed.id]


def test_counts_are_those_of_open_cases(at_desk: Desk) -> None:
    mine = at_desk.plant(number="+6281200000001", severity=Severity.S1)
    at_desk.plant(number="+6281200000002", severity=Severity.S4)
    at_desk.plant(number="+6281200000003", state=CaseState.REFERRED)
    at_desk.do(mine, Take())
    at_desk.clock.advance(5 * HOUR)
    with at_desk.database.read() as connection:
        counts = desk.counts(connection, at_desk.clock.now(), staff_id=ME)
    assert (counts.open, counts.overdue, counts.mine) == (2, 1, 1)
    assert counts.by_severity == {Severity.S1: 1, Severity.S2: 0, Severity.S3: 0, Severity.S4: 1}


@pytest.mark.parametrize("scope", list(Scope))
def test_a_list_takes_two_queries_however_many_cases_there_are(at_desk: Desk, scope: Scope) -> None:
    for n in range(5):
        at_desk.plant(number=f"+62812{n:08d}")
    statements: list[str] = []
    event.listen(at_desk.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    at_desk.list(scope)
    assert len([statement for statement in statements if statement.startswith("SELECT")]) == 1


def test_a_case_shows_what_the_worker_said_and_nothing_of_who_they_are(at_desk: Desk) -> None:
    case = at_desk.plant(words="Gaji saya dipotong")
    seen = at_desk.see(case)
    with at_desk.database.read() as connection:
        said, older = desk.transcript(connection, at_desk.sealer, case.id)
    assert [answer.text for answer in seen.answers] == ["Gaji saya dipotong"]
    assert [(one.direction, one.text) for one in said] == [
        ("out", "Apakah aman?"),
        ("in", "Gaji saya dipotong"),
    ]
    assert older is None
    assert (seen.timezone, seen.factory, seen.audit_ref) == ("Asia/Jakarta", "Pabrik Maju", "A-1")
    everything = repr(seen) + repr(said) + "".join(one.text for one in said)
    assert NUMBER not in everything
    assert ALIAS not in everything
    assert "dipotong" not in repr(seen) + repr(said)


@pytest.mark.parametrize(
    "written", [NUMBER, "0812 3456 7890", "0812-3456-7890", "+62 812-3456-7890", "6281234567890"]
)
def test_a_worker_who_writes_their_own_number_is_masked(at_desk: Desk, written: str) -> None:
    case = at_desk.plant(words=f"Tolong telepon {written} nanti malam")
    text = at_desk.see(case).answers[0].text
    assert text is not None
    assert not any(character.isdigit() for character in text)
    assert text.startswith("Tolong telepon [")
    assert text.endswith("] nanti malam")


def test_somebody_elses_number_stays_because_it_may_be_evidence(at_desk: Desk) -> None:
    case = at_desk.plant(words="Mandor: 0813 9999 8888, 20.000 rupiah, 2026-02-03")
    assert at_desk.see(case).answers[0].text == "Mandor: 0813 9999 8888, 20.000 rupiah, 2026-02-03"


def test_a_damaged_text_does_not_hide_the_rest_of_the_case(at_desk: Desk) -> None:
    case = at_desk.plant()
    with at_desk.database.write() as connection:
        connection.execute(
            update(table(Message)).where(table(Message).c.direction == "in").values(body_sealed=b"damaged")
        )
    with at_desk.database.read() as connection:
        said, _ = desk.transcript(connection, at_desk.sealer, case.id)
    assert [one.text for one in said] == ["Apakah aman?", desk.UNREADABLE]


def test_a_long_transcript_comes_in_parts(at_desk: Desk) -> None:
    case = at_desk.plant()
    for n in range(5):
        at_desk.clock.advance(timedelta(seconds=1))
        say(at_desk.database, at_desk.sealer, case, "in", f"pesan {n}", at_desk.clock.now() + DAY)
    with at_desk.database.read() as connection:
        newest, older = desk.transcript(connection, at_desk.sealer, case.id, limit=4)
        first, none = desk.transcript(connection, at_desk.sealer, case.id, before=older, limit=4)
    assert [len(newest), len(first), none] == [4, 3, None]
    assert newest[-1].text == "pesan 4"


def test_a_stopped_address_is_shown_as_such(at_desk: Desk) -> None:
    case = at_desk.plant()
    index = at_desk.sealer.stop_index(Address(AddressKind.PHONE, NUMBER))
    stop = {"index": index, "reason": "worker", "created_at": at_desk.clock.now()}
    assert not at_desk.see(case).stopped
    with at_desk.database.write() as connection:
        connection.execute(insert(table(Stop)).values(stop))
    assert at_desk.see(case).stopped


def test_a_case_that_does_not_exist_is_not_found(at_desk: Desk) -> None:
    with at_desk.database.write() as connection, pytest.raises(NotFound):
        desk.act(
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
    answer(at_desk.database, case.conversation_id, desk.WORKER_CHECK_QUESTION, "yes", at_desk.clock.now(), 50)
    at_desk.clock.advance(HOUR)
    seen = at_desk.walk(case, *TO_WORKER_CHECK)
    assert CaseState.CLOSED_VALIDATED not in {way.to for way in seen.ways}
    with pytest.raises(InputError):
        at_desk.do(case, Move(CaseState.CLOSED_VALIDATED, "the employer sent photographs"))
    answer(at_desk.database, case.conversation_id, desk.WORKER_CHECK_QUESTION, "yes", at_desk.clock.now())
    assert CaseState.DISPUTED not in {way.to for way in at_desk.see(case).ways}
    assert at_desk.do(case, Move(CaseState.CLOSED_VALIDATED)).state is CaseState.CLOSED_VALIDATED


def test_the_workers_no_disputes_the_remedy(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.walk(case, *TO_WORKER_CHECK)
    answer(at_desk.database, case.conversation_id, desk.WORKER_CHECK_QUESTION, "no", at_desk.clock.now())
    ways = {way.to for way in at_desk.see(case).ways}
    assert CaseState.CLOSED_VALIDATED not in ways
    assert at_desk.walk(case, CaseState.DISPUTED, CaseState.REOPENED).state is CaseState.REOPENED


def test_another_person_on_the_same_telephone_does_not_speak_for_the_worker(at_desk: Desk) -> None:
    case = at_desk.plant()
    at_desk.walk(case, *TO_WORKER_CHECK)
    stranger, herself = _talk(at_desk, case, None), _talk(at_desk, case, case.contact_id)
    answer(at_desk.database, stranger, desk.WORKER_CHECK_QUESTION, "yes", at_desk.clock.now())
    assert CaseState.CLOSED_VALIDATED not in {way.to for way in at_desk.see(case).ways}
    answer(at_desk.database, herself, desk.WORKER_CHECK_QUESTION, "yes", at_desk.clock.now())
    assert CaseState.CLOSED_VALIDATED in {way.to for way in at_desk.see(case).ways}


def test_every_way_of_closing_leaves_the_open_queue(at_desk: Desk) -> None:
    for n, state in enumerate(sorted(CLOSED)):
        at_desk.plant(number=f"+62812{n:08d}", state=state)
    assert at_desk.list().lines == ()
    assert len(at_desk.list(Scope.CLOSED).lines) == len(CLOSED)


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
