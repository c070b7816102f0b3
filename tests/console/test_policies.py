"""A supervisor sees what a policy would do before it holds, and can take it back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.callbacks import policies
from bot.callbacks.policy import Policy
from bot.service import Service
from bot.staff import Role
from bot.storage.database import Database, open_database
from bot.storage.tables import AccessLog, Client, table
from tests.console.conftest import SignedIn, Visitor, form_token
from tests.journeys.world import Worker, upload, without_chance


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """SQLite alone: nothing here depends on the database."""
    opened = open_database(sqlite_url)
    yield opened
    opened.dispose()


WORKERS = [
    Worker(number=f"+6281200000{n:03}", alias=f"Canary-{n}", preferred_time="evening") for n in range(5)
]
"""In Jakarta, on 2 March 2026, five days after their audit."""


@pytest.fixture
def here(service: Service, tmp_path: Path) -> str:
    """The page of a client with five workers."""
    path = tmp_path / "upload.csv"
    path.write_text(upload(WORKERS), encoding="utf-8")
    assert bring_in(service, read(path)).created == 5
    with service.database.read() as connection:
        client_id = connection.execute(select(table(Client).c.id)).scalar_one()
    return f"/console/policies/{client_id}"


@pytest.fixture
def mira(signed_in: SignedIn) -> Visitor:
    """A supervisor."""
    return signed_in(Role.SUPERVISOR)


def fields(page: str) -> dict[str, str]:
    """What a browser would send of the page's form."""
    form = page.partition('class="policy"')[2].partition("</form>")[0]
    named = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and (' type="checkbox"' not in tag or " checked" in tag):
            named[name[1]] = value[1] if value else ""
    for name_, body in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', body)
        assert chosen is not None
        named[name_] = chosen[1]
    return named


def tile(page: str, label: str) -> int:
    """The number on a tile."""
    found = re.search(rf"<dt>{label}</dt><dd>([\d,]+)</dd>", page)
    assert found is not None
    return int(found[1])


def present(service: Service) -> Policy:
    """The policy as it holds."""
    with service.database.read() as connection:
        return policies.of_client(connection, "Brand A")


def test_the_form_as_it_stands_is_the_policy_and_changes_nothing(
    service: Service, mira: Visitor, here: str
) -> None:
    page = mira.client.post(f"{here}/preview", data=fields(mira.get(here).text))
    assert page.status_code == 200
    assert [tile(page.text, label) for label in ("Workers", "Moved", "New", "No longer")] == [5, 0, 0, 0]
    assert present(service) == Policy()


def test_a_policy_is_previewed_then_saved_then_taken_back(service: Service, mira: Visitor, here: str) -> None:
    wanted = fields(mira.get(here).text) | {"daily_cap": "2", "first_call_day": "7", "rounds": ""}
    previewed = mira.client.post(f"{here}/preview", data=wanted)
    assert tile(previewed.text, "Moved") == 5
    assert tile(previewed.text, "No longer") == 10
    assert previewed.text.count("2026-03-04</time></td><td>2<") == 1
    assert present(service) == Policy()
    saved = mira.client.post(f"{here}/save", data=fields(previewed.text))
    assert saved.status_code == 303
    assert present(service) == Policy(first_call_day=7, daily_cap=2, rounds=())
    assert "5 callbacks were planned anew" in mira.get(here).text
    assert mira.send(here, f"{here}/undo", version=version(mira, here)).status_code == 303
    assert present(service) == Policy()
    mira.send(here, f"{here}/undo", version=version(mira, here))
    assert present(service).daily_cap == 2
    with service.database.read() as connection:
        log = table(AccessLog)
        actions = connection.execute(select(log.c.action).where(log.c.object_kind == "client")).scalars()
        assert list(actions) == ["set_policy"] * 3


def version(visitor: Visitor, here: str) -> str:
    """The version that the page's form of undoing carries."""
    found = re.search(r'name="version" value="([^"]+)"', visitor.get(here).text)
    assert found is not None
    return found[1]


def test_what_was_not_previewed_is_not_saved(service: Service, mira: Visitor, here: str) -> None:
    previewed = mira.client.post(f"{here}/preview", data=fields(mira.get(here).text) | {"daily_cap": "2"})
    changed = mira.client.post(f"{here}/save", data=fields(previewed.text) | {"daily_cap": "3"})
    assert changed.status_code == 400
    assert "Something changed since the preview" in changed.text
    assert fields(changed.text)["daily_cap"] == "3"
    policies.set_for_client(service, "Brand A", Policy(first_call_day=8))
    assert mira.client.post(f"{here}/save", data=fields(changed.text)).status_code == 400
    assert present(service) == Policy(first_call_day=8)
    behind = {"csrf_token": form_token(mira.get(here).text), "version": "0"}
    assert mira.client.post(f"{here}/undo", data=behind).status_code == 409


SENSELESS = (
    ("first_call_day", "soon"),
    ("rounds", "8-9"),
    ("attempts", "many"),
    ("comparison", "120"),
    ("caller_id", "ID=+622100000000"),
    ("channels_when_failing", "pigeon"),
    ("calendar", "Atlantis"),
    ("quiet_from", ""),
)


def test_a_value_that_makes_no_sense_is_named_and_stays_in_the_form(mira: Visitor, here: str) -> None:
    form = fields(mira.get(here).text)
    for key, typed in SENSELESS:
        page = mira.client.post(f"{here}/preview", data=form | {key: typed})
        assert page.status_code == 400, key
        words = re.search(r'role="alert">([^<]*)', page.text)
        assert words is not None
        assert key in words[1].lower()
        assert fields(page.text)[key] == typed


def test_the_page_tells_workers_apart_and_nobody_who_they_are(mira: Visitor, here: str) -> None:
    page = mira.client.post(f"{here}/preview", data=fields(mira.get(here).text)).text
    assert page.count("Asia/Jakarta") + page.count("+07:00") + page.count("18:00") > 0
    for worker in WORKERS:
        for hidden in (worker.number, worker.number[1:], worker.alias, worker.pass_word):
            assert hidden not in without_chance(page)


def test_a_client_that_there_is_not_is_not_found(mira: Visitor) -> None:
    assert mira.get(f"/console/policies/{'0' * 32}").status_code == 404
    assert "no clients yet" in mira.get("/console/policies").text
