"""The queue of cases, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, update

from bot.cases import queue
from bot.cases.actions import Take
from bot.cases.lifecycle import CLOSED, OPEN, CaseState, Severity
from bot.cases.queue import Scope
from bot.storage.tables import Case, table
from tests.cases.conftest import DAY, HOUR, ME, Desk


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
    after: queue.Cursor | None = None
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
        counts = queue.counts(connection, at_desk.clock.now(), staff_id=ME)
    assert (counts.open, counts.overdue, counts.mine) == (2, 1, 1)
    assert counts.by_severity == {Severity.S1: 1, Severity.S2: 0, Severity.S3: 0, Severity.S4: 1}


@pytest.mark.parametrize("scope", list(Scope))
def test_a_page_takes_one_query_however_many_cases_there_are(at_desk: Desk, scope: Scope) -> None:
    for n in range(5):
        at_desk.plant(number=f"+62812{n:08d}")
    statements: list[str] = []
    event.listen(at_desk.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    at_desk.list(scope)
    assert len([statement for statement in statements if statement.startswith("SELECT")]) == 1


def test_every_way_of_closing_leaves_the_open_queue(at_desk: Desk) -> None:
    for n, state in enumerate(sorted(CLOSED)):
        at_desk.plant(number=f"+62812{n:08d}", state=state)
    assert at_desk.list().lines == ()
    assert len(at_desk.list(Scope.CLOSED).lines) == len(CLOSED)
