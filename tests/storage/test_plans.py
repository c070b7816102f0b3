"""No statement of the hot paths reads a whole table that grows with every worker, call and message.

A journey is made and every statement on its way is written down; then the database is asked how it would carry each
of them out. PostgreSQL is asked with sequential scans forbidden: one that it plans all the same has no index to use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert
from sqlalchemy.engine import Engine

from benchmarks.databases import Ground
from benchmarks.filling import fill
from benchmarks.serving import ROOT
from benchmarks.workers import service_of, settings_of
from bot import folding, tick
from bot.callbacks import policies, preview, settle
from bot.storage import tables
from bot.storage.database import Database
from bot.storage.tables import table
from console.operations import read_incidents, read_recovered
from tests.journeys.test_callback import add_supervisor, sign_in
from tests.journeys.world import REPORTS_DISMISSAL, Worker, World

GROWING = (
    *("message", "callback", "attempt", "outbox", "conversation", "contact", "address", "contact_address"),
    *(
        "cohort_member",
        "answer",
        "consent",
        "cases",
        "grievance",
        "case_event",
        "media",
        "leftover",
        "recording",
        "reminder",
    ),
    *("audit", "incident", "access_log", "transfer", "tally", "attachment"),
)
PAGES = (
    *("/console/cases", "/console/cases?show=closed", "/console/cases?severity=S1", "/console/cases/{case}"),
    *("/console/cases?show=closed&severity=S1", "/console/callbacks", "/console/callbacks?show=due"),
    *("/console/callbacks?show=late", "/console/callbacks?show=dialling", "/console/callbacks?show=given_up"),
    *("/console/callbacks?show=given_up&reason=daily_cap", "/console/watch", "/console/line"),
    *("/console/policies", "/console/policies/{client}", "/metrics"),
)
WRITER = "+6281200000009"
Statements = dict[str, Any]

_HARNESS = re.compile(
    r"^SELECT (\w+)\.\w+, \1\.(\w+) \nFROM \1 \nWHERE \1\.\2 IS NOT NULL$|\nFROM cases ORDER BY cases\.id$"
)

_PARTIAL = {
    index.name
    for each in tables.metadata.sorted_tables
    for index in each.indexes
    if index.dialect_options["sqlite"]["where"] is not None
}
_NAMES = "|".join(GROWING)
_SQLITE = re.compile(rf"^SCAN (?:{_NAMES})\b(?: USING (?:COVERING )?INDEX (\w+))?")
_LARGE = re.compile(
    r"^ *(?:-> +)?(?:Seq Scan on|SCAN) (?:message|callback|attempt|conversation|contact|address|outbox)\b(?! USING)",
    re.MULTILINE,
)
_POSTGRES = re.compile(rf"Seq Scan on (?:{_NAMES})\b")


@contextmanager
def listening(engine: Engine) -> Iterator[Statements]:
    """Every statement of the block, with parameters of its own."""
    heard: Statements = {}

    def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        heard.setdefault(statement, parameters[0] if many else parameters)

    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def scans(database: Database, statements: Statements) -> list[str]:
    """The statements that would read a whole table, with what the database says about them."""
    with database.read() as connection:
        if database.dialect == "sqlite":
            return [found for each in statements.items() if (found := _sqlite(connection, *each))]
        connection.exec_driver_sql("SET enable_seqscan = off")
        return [found for each in statements.items() if (found := _postgres(connection, *each))]


def _sqlite(connection: Connection, statement: str, parameters: Any) -> str:
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    for row in rows:
        if (scan := _SQLITE.match(row.detail)) and scan[1] not in _PARTIAL:
            return f"{row.detail}: {statement}"
    return ""


def _postgres(connection: Connection, statement: str, parameters: Any) -> str:
    plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
    return f"{plan}: {statement}" if _POSTGRES.search(plan) else ""


def _is_ours(statement: str) -> bool:
    """Whether the service asked it, and not the harness that lets time pass or looks at all rows."""
    words = statement.split(None, 1)[0]
    return words in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"} and not _HARNESS.search(statement)


@pytest.fixture
def heard(world: World) -> tuple[World, Statements]:
    """A worker is called and reports, another writes, and a supervisor looks at the cases."""
    secret = add_supervisor(world)
    with listening(world.service.database.engine) as statements:
        world.interviewed(Worker(number="+6281200000001", script=REPORTS_DISMISSAL))
        for text in ("hello", "English", "1", "5"):
            world.network.text(WRITER, text)
            world.network.idle()
            world.run()
        world.at("2026-03-02T18:01:00+07:00")
        world.rest()
        world.pass_time(timedelta(hours=25))
        world.run()
        case, client = world.rows(tables.Case)[0].id, world.rows(tables.Client)[0].id
        visitor = world.app.test_client()
        sign_in(visitor, secret)
        for page in PAGES:
            found = visitor.get(page.format(case=case, client=client), follow_redirects=True)
            assert found.status_code == 200, page
        with world.service.database.read() as connection:
            held = policies.held(connection, client)
            read_incidents(connection)
            read_recovered(connection, world.clock.now())
            preview.read(connection, client, world.clock.now(), 100)
        policies.set_for_client(world.service, client, replace(held.policy, max_attempts=5))
        world.run()
    return world, {statement: given for statement, given in statements.items() if _is_ours(statement)}


def test_no_statement_of_the_hot_paths_reads_a_whole_table(heard: tuple[World, Statements]) -> None:
    world, statements = heard
    assert len(statements) > 100
    assert scans(world.service.database, statements) == []


def test_no_statement_of_texts_before_calls_reads_a_whole_table(world: World) -> None:
    with listening(world.service.database.engine) as statements:
        world.interviewed(Worker(number="+6281200000001", reminder="yes"), audit_date="2026-02-26")
        world.at("2026-03-03T16:00:00+07:00")
        world.run()
        world.network.text("+6281200000001", "NO TEXT")
        world.network.idle()
        world.run()
    assert len(world.rows(tables.Reminder)) == 1
    ours = {statement: given for statement, given in statements.items() if _is_ours(statement)}
    assert scans(world.service.database, ours) == []


def test_with_a_history_and_statistics_of_it_the_clock_reads_no_large_table(
    database_url: str, tmp_path: Path
) -> None:
    """Nothing is forbidden here: a planner that thinks it will soon find something prefers the table to an index."""
    service = service_of(settings_of(Ground("", database_url, tmp_path, "", None), ROOT / "flows"))
    fill(service, 0, 2_000)
    with listening(service.database.engine) as statements:
        list(tick.beat(service))
        folding.fold(service)
    ours = {statement: given for statement, given in statements.items() if _is_ours(statement)}
    assert any("callback.tallied" in statement for statement in ours)
    assert [plan for plan in plans(service.database, ours) if _LARGE.search(plan)] == []
    service.database.dispose()


def plans(database: Database, statements: Statements) -> list[str]:
    """How the database would carry out each statement, as it would do it now."""
    words = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    with database.read() as connection:
        asked = [
            (each, connection.exec_driver_sql(f"{words} {each}", of).all()) for each, of in statements.items()
        ]
    return ["\n".join([str(row[-1]) for row in rows] + [statement]) for statement, rows in asked]


def test_a_stopped_worker_is_not_planned_anew_whoever_else_is_known(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(number="+6281200000001"), Worker(number="+6281200000002", alias="W-2"))
    first, second = world.rows(tables.AddressRow)
    of_address = {row.address_id: row.id for row in world.rows(tables.Callback)}
    with world.service.database.write() as connection:
        stop = {"index": second.stop_index, "reason": "worker", "created_at": world.clock.now()}
        connection.execute(insert(table(tables.Stop)).values(**stop))
        for callback_id in of_address.values():
            settle.replan(connection, callback_id, world.clock.now())
    states = {row.id: row.state for row in world.rows(tables.Callback)}
    assert states[of_address[first.id]] == "scheduled"
    assert states[of_address[second.id]] == "stopped"
