"""A supervisor brings the shifts of factories by a file, and sees what it would do before it holds."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator

import pytest

from bot.audits import factories
from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.service import Service
from bot.staff import Role
from bot.storage.database import Database, open_database
from tests.console.conftest import SignedIn, Visitor
from tests.journeys.world import Worker, upload

HERE = "/console/shifts"
ROWS = (
    "client,factory,country,days,from,until\n"
    "Brand A,Blue Works,ID,mon-fri,07:00,16:00\n"
    "Brand A,Red Works,ID,mon-fri,07:00,16:00\n"
)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """SQLite alone: nothing here depends on the database."""
    opened = open_database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def mira(service: Service, signed_in: SignedIn) -> Visitor:
    """A supervisor; one factory is registered."""
    bring_in(service, read(io.BytesIO(upload([Worker()]).encode())))
    return signed_in(Role.SUPERVISOR)


def shifts(service: Service) -> list[str]:
    """Those of the factory."""
    with service.database.read() as connection:
        return [shift.words() for shift in factories.find(connection, "Blue Works").shifts]


def choose(mira: Visitor, content: str) -> str:
    """Choose a file and look at what it would do."""
    data = {"csrf_token": mira.token(HERE), "file": (io.BytesIO(content.encode()), "shifts.csv")}
    answer = mira.client.post(f"{HERE}/preview", data=data, content_type="multipart/form-data")
    return answer.text


def test_a_file_is_shown_first_and_then_saved(service: Service, mira: Visitor) -> None:
    page = choose(mira, ROWS)
    assert "Mon Tue Wed Thu Fri 07:00-16:00" in page
    assert "The client has no such factory." in page
    assert shifts(service) == []
    found = re.search(r'<textarea name="shifts" hidden>(.*?)</textarea>', page, re.DOTALL)
    assert found
    saved = mira.send(HERE, f"{HERE}/save", shifts=html.unescape(found[1]))
    assert saved.status_code == 303
    assert shifts(service) == ["Mon Tue Wed Thu Fri 07:00-16:00"]
    assert "Saved the shifts of 1 factory. Callbacks planned anew: 1." in mira.get(HERE).text


def test_what_cannot_be_read_is_said_and_changes_nothing(service: Service, mira: Visitor) -> None:
    assert "Missing: from, until" in choose(mira, "client,factory\nBrand A,Blue Works\n")
    assert "Nothing of this file can be taken." in choose(mira, ROWS.replace("07:00", "early"))
    assert mira.send(HERE, f"{HERE}/preview").status_code == 400
    assert shifts(service) == []


def test_nobody_but_supervisors_may_bring_shifts(signed_in: SignedIn) -> None:
    assert signed_in(Role.AGENT).get(HERE).status_code == 403
