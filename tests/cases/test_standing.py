"""How the open cases stand costs what the open cases are, and not what ever happened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from bot.cases import standing
from bot.ids import new_id
from bot.storage import tables
from bot.storage.tables import table
from tests.cases.conftest import Desk
from tests.storage.test_plans import listening, plans


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """SQLite has no other way than by the index."""
    return postgres_url


def test_the_ages_of_open_cases_read_nothing_of_what_happened_to_others(at_desk: Desk) -> None:
    """However many cases are open: a planner that joins them with all events reads those of every year."""
    case, event = table(tables.Case), table(tables.CaseEvent)
    cases = [at_desk.plant(number=f"+62812000{n:05}").id for n in range(150)]
    over = cases[:30]
    happened = {"kind": "state", "created_at": at_desk.clock.now() - timedelta(days=400)}
    details = ("received>safety_screen", "closed_unreached>reopened", "investigating>substantiated")
    rows = [
        happened | {"id": new_id(), "case_id": each, "detail": detail}
        for each in over
        for detail in details * 20
    ]
    with at_desk.database.write() as connection:
        connection.execute(update(case).where(case.c.id.in_(over)).values(state="closed_unreached"))
        connection.execute(insert(event), rows)
        connection.exec_driver_sql("ANALYZE")
    with listening(at_desk.database.engine) as asked, at_desk.database.read() as connection:
        standing.ages(connection, at_desk.clock.now())
    (plan,) = plans(at_desk.database, asked)
    assert "case_event_order" in plan
    assert "Seq Scan on case_event" not in plan
