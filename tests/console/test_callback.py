"""A supervisor moves a callback to the time that the worker named, sees before what was understood, and can move it back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.callbacks import policies
from bot.callbacks.policy import Policy
from bot.callbacks.states import CallbackState
from bot.clock import FrozenClock
from bot.service import Service
from bot.staff import Role
from bot.storage.database import Database, open_database
from bot.storage.tables import AccessLog, Callback, Case, table
from bot.storage.types import AnyRow
from tests.cases.planting import plant
from tests.console.conftest import SignedIn, Visitor
from tests.journeys.world import Worker, upload

_callback = table(Callback)
NUMBER = "+6281200000001"


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """SQLite alone: nothing here depends on the database."""
    opened = open_database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def here(service: Service, tmp_path: Path) -> str:
    """The page of a callback in Jakarta, on Monday, 2 March 2026: she asked for evenings."""
    path = tmp_path / "upload.csv"
    path.write_text(upload([Worker(number=NUMBER, language="id")]), encoding="utf-8")
    assert bring_in(service, read(path)).created == 1
    return f"/console/callbacks/{planned(service).id}"


@pytest.fixture
def mira(signed_in: SignedIn) -> Visitor:
    """A supervisor."""
    return signed_in(Role.SUPERVISOR)


def planned(service: Service) -> AnyRow:
    """The callback of the first round."""
    with service.database.read() as connection:
        return connection.execute(select(_callback).where(_callback.c.round == 1)).one()


def preview(visitor: Visitor, here: str, when: str) -> TestResponse:
    """What the page shows of a time before anything is changed."""
    return visitor.send(here, f"{here}/preview", when=when)


def seen(page: TestResponse) -> str:
    """What the form of a preview carries."""
    found = re.search(r'name="seen" value="([^"]*)"', page.text)
    assert found is not None
    return found[1]


def moved(visitor: Visitor, here: str, when: str) -> TestResponse:
    """Preview a time and move the callback there."""
    return visitor.send(here, f"{here}/move", when=when, seen=seen(preview(visitor, here, when)))


def logged(service: Service) -> list[str]:
    """What the access log knows of callbacks."""
    log = table(AccessLog)
    with service.database.read() as connection:
        found = select(log.c.action).where(log.c.object_kind == "callback", log.c.staff_id.is_not(None))
        return list(connection.execute(found.order_by(log.c.id)).scalars())


def test_a_time_in_words_is_previewed_then_moved_then_moved_back(
    service: Service, mira: Visitor, here: str
) -> None:
    before = planned(service)
    page = preview(mira, here, "tomorrow after 8")
    assert "Tue, Mar 3, 20:00–21:00, on the worker's clock" in page.text
    assert planned(service) == before
    assert moved(mira, here, "tomorrow after 8").status_code == 303
    after = planned(service)
    assert (after.state, after.preference) == (CallbackState.SCHEDULED, "2026-03-03 after 20:00")
    assert after.due_at.isoformat() == "2026-03-03T13:00:00+00:00"
    shown = mira.get(here).text
    assert 'datetime="2026-03-03T13:00' in shown
    assert NUMBER not in shown
    assert mira.send(here, f"{here}/undo").status_code == 303
    again = planned(service)
    assert (again.preference, again.due_at, again.last_day) == (
        before.preference,
        before.due_at,
        before.last_day,
    )
    assert "Move it back" not in mira.get(here).text
    assert logged(service) == ["move_callback", "undo_move"]


def test_her_own_language_is_understood(service: Service, mira: Visitor, here: str) -> None:
    assert moved(mira, here, "besok setelah jam 8").status_code == 303
    assert planned(service).preference == "2026-03-03 after 20:00"


REFUSED = {
    "some day": "That was not understood.",
    "": "That was not understood.",
    "2026-02-01 evening": "in the past",
    "2026-02-01 18:30": "in the past",
    "2026-02-01 after 18:30": "in the past",
    "weekend; 0001-01-01 00:00": "in the past",
    "2026-06-01 10:00": "too far ahead",
}


def test_what_cannot_be_is_refused_with_its_reason_and_changes_nothing(
    service: Service, mira: Visitor, here: str
) -> None:
    before = planned(service)
    for when, why in REFUSED.items():
        page = preview(mira, here, when)
        assert (page.status_code, why in page.text) == (400, True), when
        assert f'value="{when}"' in page.text
    assert planned(service) == before


def test_what_was_not_previewed_is_not_moved(service: Service, mira: Visitor, here: str) -> None:
    page = preview(mira, here, "tomorrow after 8")
    other = mira.send(here, f"{here}/move", when="weekend", seen=seen(page))
    assert other.status_code == 400
    assert "Something changed since the preview" in other.text
    assert planned(service).preference == "evening"


def test_a_callback_that_was_planned_anew_since_is_looked_at_again(
    service: Service, mira: Visitor, here: str
) -> None:
    page = preview(mira, here, "tomorrow after 8")
    with service.database.write() as connection:
        connection.execute(update(_callback).values(updated_at=service.clock.now() + timedelta(seconds=1)))
    assert mira.send(here, f"{here}/move", when="tomorrow after 8", seen=seen(page)).status_code == 400
    assert planned(service).preference == "evening"


def test_one_that_is_dialled_right_now_is_not_moved(service: Service, mira: Visitor, here: str) -> None:
    page = preview(mira, here, "weekend")
    with service.database.write() as connection:
        connection.execute(update(_callback).values(state=CallbackState.DIALLING))
    assert mira.send(here, f"{here}/move", when="weekend", seen=seen(page)).status_code == 409
    assert "Move it" not in mira.get(here).text


def test_what_she_asked_for_since_is_not_taken_back(service: Service, mira: Visitor, here: str) -> None:
    moved(mira, here, "weekend")
    with service.database.write() as connection:
        connection.execute(update(_callback).values(preference="morning"))
    assert mira.send(here, f"{here}/undo").status_code == 409


def test_a_move_back_for_which_no_time_is_left_changes_nothing(
    service: Service, mira: Visitor, here: str, frozen_clock: FrozenClock
) -> None:
    moved(mira, here, "2026-03-13 18:30")
    frozen_clock.advance(timedelta(days=10))
    answer = mira.send(here, f"{here}/undo")
    assert answer.status_code == 400
    assert "No time is left" in answer.text
    assert planned(service).preference == "2026-03-13 18:30"


def test_a_callback_that_there_is_not_is_not_found(mira: Visitor, here: str) -> None:
    assert mira.get("/console/callbacks/nobody").status_code == 404


def test_the_page_of_a_case_leads_to_her_next_call(service: Service, mira: Visitor, here: str) -> None:
    case = plant(service.database, service.sealer, service.clock.now(), library=service.library)
    cases = table(Case)
    assert "Next call" not in mira.get(f"/console/cases/{case.id}").text
    with service.database.write() as connection:
        connection.execute(update(cases).values(contact_id=planned(service).contact_id))
    assert f'href="{here}"' in mira.get(f"/console/cases/{case.id}").text


def test_a_policy_with_fewer_days_takes_no_time_away_that_she_named(
    service: Service, mira: Visitor, here: str
) -> None:
    assert moved(mira, here, "2026-03-13 18:30").status_code == 303
    policies.set_for_client(service, "Brand A", Policy(last_call_day=6))
    assert planned(service).due_at.isoformat() == "2026-03-13T11:30:00+00:00"
