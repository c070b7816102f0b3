"""What is reported in one conversation becomes one case, at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot import staff
from bot.cases import opening
from bot.flow.events import GrievanceRaised
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import BEGIN, Worker, World

COACHED = GrievanceRaised("q1", "coaching", "S3", ("intimidation",))
WORDS = GrievanceRaised("words", "unclassified", "S3")
LATE = GrievanceRaised("what", "wages", "S3")
DISMISSED = GrievanceRaised("q4_choice", "dismissal", "S2")
HURT = GrievanceRaised("q8_what", "violence", "S1")


@pytest.fixture
def source(world: World) -> opening.Source:
    """A conversation that began."""
    return begun(world)


@pytest.fixture
def source_in_sqlite(sqlite_world: World) -> opening.Source:
    """The same on SQLite alone."""
    return begun(sqlite_world)


def begun(world: World) -> opening.Source:
    """Let a worker be called, and her talk begin."""
    world.interviewed(Worker(script={"steps": list(BEGIN), "then": "silent"}))
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    (talk,) = world.rows(tables.Conversation)
    return opening.Source(talk.id, talk.contact_id, talk.audit_id, talk.language)


def record(world: World, source: opening.Source, *raised: GrievanceRaised) -> str:
    """Report something."""
    with world.service.database.write() as connection:
        return opening.record(connection, source, list(raised), world.clock.now())


def test_one_conversation_is_one_case_with_all_its_grievances(world: World, source: opening.Source) -> None:
    assert record(world, source, COACHED) == record(world, source, DISMISSED)
    (case,) = world.rows(tables.Case)
    assert {row.category for row in world.rows(tables.Grievance)} == {"coaching", "dismissal"}
    assert (case.audit_id, case.contact_id) == (source.audit_id, source.contact_id)
    assert case.client_id
    assert case.factory_id


def test_a_graver_report_raises_the_case_and_shortens_its_clocks(
    world: World, source: opening.Source
) -> None:
    record(world, source, COACHED)
    (before,) = world.rows(tables.Case)
    record(world, source, HURT)
    (after,) = world.rows(tables.Case)
    assert (before.severity, after.severity, after.category) == ("S3", "S1", "violence")
    assert after.review_due_at < before.review_due_at
    assert after.review_due_at - world.clock.now() <= timedelta(hours=1)


def test_a_case_of_mere_words_gets_the_category_of_what_is_told_later(
    sqlite_world: World, source_in_sqlite: opening.Source
) -> None:
    record(sqlite_world, source_in_sqlite, WORDS)
    record(sqlite_world, source_in_sqlite, WORDS, COACHED)
    record(sqlite_world, source_in_sqlite, LATE)
    (case,) = sqlite_world.rows(tables.Case)
    assert (case.category, case.severity) == ("coaching", "S3")


def test_a_lesser_report_lowers_nothing(world: World, source: opening.Source) -> None:
    record(world, source, HURT)
    record(world, source, COACHED)
    (case,) = world.rows(tables.Case)
    assert (case.severity, case.category) == ("S1", "violence")


def test_the_same_report_twice_is_one_grievance_of_the_graver_level(
    world: World, source: opening.Source
) -> None:
    record(world, source, COACHED)
    record(world, source, GrievanceRaised("q1", "coaching", "S2"), COACHED)
    (grievance,) = world.rows(tables.Grievance)
    assert grievance.severity == "S2"


def test_a_reference_can_be_read_aloud_and_tells_nothing(world: World, source: opening.Source) -> None:
    record(world, source, COACHED)
    (case,) = world.rows(tables.Case)
    assert re.fullmatch(r"[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}", case.reference)


@pytest.mark.parametrize(("raised", "template"), [(HURT, "critical_case"), (COACHED, "new_case")])
def test_every_supervisor_with_an_address_is_told_once(
    world: World, source: opening.Source, raised: GrievanceRaised, template: str
) -> None:
    for name, role, email in (
        ("one", staff.Role.SUPERVISOR, "one@example.org"),
        ("two", staff.Role.SUPERVISOR, None),
        ("three", staff.Role.ADMIN, "three@example.org"),
    ):
        service = world.service
        staff.add(
            service.database,
            service.sealer,
            service.clock,
            name,
            "correct horse battery staple",
            [role],
            email,
        )
    record(world, source, raised)
    record(world, source, raised)
    outbox = table(tables.Outbox)
    with world.service.database.read() as connection:
        notices = (
            connection.execute(select(outbox.c.template).where(outbox.c.kind == "notice")).scalars().all()
        )
    assert notices == [template]
