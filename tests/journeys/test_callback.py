"""A worker of an audited factory is called back at her time, and what she says reaches a supervisor."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

import pyotp
import pytest
from aiosmtpd.controller import Controller
from flask.testing import FlaskClient
from sqlalchemy import select

from bot import staff
from bot.flow.catalog import Catalogs, recording_name
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import (
    CALLER,
    REPORTS_DISMISSAL,
    WORDS,
    Worker,
    World,
    said_in,
    without_chance,
)

PASSWORD = "correct horse battery staple"
LANGUAGES = {
    "en": Worker(number="+254700000001", language="en", timezone="Africa/Nairobi", country="KE"),
    "id": Worker(number="+6281200000001", language="id", timezone="Asia/Jakarta", country="ID"),
    "my": Worker(number="+959450000001", language="my", timezone="Asia/Yangon", country="MM"),
}
SPEAKERS = {
    language: Worker(**{**vars(worker), "script": REPORTS_DISMISSAL})
    for language, worker in LANGUAGES.items()
}


def evening(worker: Worker) -> str:
    """A minute after her evening began, in her own zone."""
    offset = {"KE": "+03:00", "ID": "+07:00", "MM": "+06:30"}[worker.country]
    return f"2026-03-02T18:01:00{offset}"


@pytest.fixture(params=["en", "id", "my"])
def worker(request: pytest.FixtureRequest) -> Worker:
    """A worker who reports that she was dismissed, in each language."""
    return SPEAKERS[request.param]


# --- when ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", [SPEAKERS["en"], SPEAKERS["my"]], ids=["en", "my"])
def test_nobody_is_called_before_her_window_in_her_own_zone(sqlite_world: World, worker: Worker) -> None:
    world = sqlite_world
    world.interviewed(worker)
    world.at(evening(worker).replace("18:01", "17:58"))
    world.run()
    assert world.network.calls() == []
    world.at(evening(worker))
    world.run()
    assert len(world.network.calls(worker.number)) == 1


def test_nobody_is_called_before_the_first_day(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SPEAKERS["id"], audit_date="2026-02-26")
    world.at("2026-03-02T19:00:00+07:00")
    world.run()
    assert world.network.calls() == []
    world.at("2026-03-03T18:01:00+07:00")
    world.run()
    assert len(world.network.calls()) == 1


def test_the_number_that_calls_is_not_the_one_on_the_card(sqlite_world: World) -> None:
    sqlite_world.interviewed(SPEAKERS["id"])
    sqlite_world.at(evening(SPEAKERS["id"]))
    sqlite_world.run()
    (call,) = sqlite_world.network.calls()
    assert call["from"] == CALLER


# --- what -----------------------------------------------------------------------------------------


def test_a_reported_dismissal_becomes_a_case(world: World, worker: Worker, real_catalogs: Catalogs) -> None:
    world.interviewed(worker)
    world.at(evening(worker))
    world.rest()
    assert (world.callback()["state"], world.dispositions()) == ("reached", ["completed"])
    (case,) = world.rows(tables.Case)
    assert (case.category, case.severity, case.state) == ("dismissal", "S2", "received")
    assert case.language == real_catalogs.nearest(worker.language)
    assert {row.category for row in world.rows(tables.Grievance)} >= {"dismissal"}
    consents = {row.scope: row.given for row in world.rows(tables.Consent)}
    assert consents["record"] is True
    assert consents["share_client"] is True
    assert consents["share_employer"] is False
    assert [code for question, code, _ in world.answers() if question == "q4_reason"] == ["visit"]


def test_her_words_are_brought_home_sealed_and_deleted_at_the_provider(world: World) -> None:
    worker = SPEAKERS["id"]
    world.interviewed(worker)
    world.at(evening(worker))
    world.rest()
    (there,) = world.network.recordings()
    assert there["deleted"]
    (here,) = world.rows(tables.RecordingRow)
    assert (here.state, here.content_type, here.seconds) == ("kept", "audio/wav", 4)
    assert here.answer_id == next(row.id for row in world.rows(tables.Answer) if row.question == "q9_words")
    audio = world.service.sealer.open_bytes(f"recording.audio_sealed:{here.id}", here.audio_sealed)
    assert audio.startswith(b"RIFF")
    assert b"RIFF" not in here.audio_sealed


def test_every_text_is_spoken_in_her_language(
    sqlite_world: World, worker: Worker, real_catalogs: Catalogs
) -> None:
    world = sqlite_world
    world.interviewed(worker)
    world.at(evening(worker))
    world.run()
    opening = real_catalogs.tongue(worker.language).text("Hello. Is this a good time?")
    (first,) = (hit for hit in world.hits_at("/channels/voice/answer/"))
    assert opening in said_in(first.answer) or f"{recording_name(opening)}.wav" in first.answer
    (call,) = world.network.calls()
    errors = [step for step in call["steps"] if step["kind"] == "error"]
    assert errors == []


def test_a_worker_who_was_reached_is_not_called_again(sqlite_world: World) -> None:
    worker = SPEAKERS["id"]
    sqlite_world.interviewed(worker)
    sqlite_world.at(evening(worker))
    sqlite_world.rest()
    for day in range(3, 9):
        sqlite_world.at(f"2026-03-0{day}T18:30:00+07:00")
        sqlite_world.rest()
    assert len(sqlite_world.network.calls()) == 1


# --- to whom ------------------------------------------------------------------------------------


class Mailbox:
    """Takes what is sent by SMTP."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a letter."""
        self.letters.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A mail server, and its address for SMTP_URL."""
    box = Mailbox()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"smtp://127.0.0.1:{port}"
    controller.stop()


def test_the_supervisor_is_told_that_there_is_something_and_nothing_else(
    sqlite_world: World, mailbox: tuple[Mailbox, str]
) -> None:
    box, address = mailbox
    world = sqlite_world
    changed = world.service.settings.model_copy(
        update={"smtp_url": _secret(address), "email_from": "voiceback@example.org"}
    )
    object.__setattr__(world.service, "settings", changed)
    add_supervisor(world, email="supervisor@example.org")
    worker = SPEAKERS["id"]
    world.interviewed(worker)
    world.at(evening(worker))
    world.rest()
    (letter,) = box.letters
    assert letter[0] == ["supervisor@example.org"]
    text = message_from_bytes(letter[1]).as_string()
    (case,) = world.rows(tables.Case)
    for telling in (case.id, case.reference, "dismissal", "S2", worker.number, worker.alias, "Blue Works"):
        assert telling not in text


def test_a_supervisor_reads_it_all_in_the_console(sqlite_world: World) -> None:
    world = sqlite_world
    secret = add_supervisor(world)
    worker = SPEAKERS["id"]
    world.interviewed(worker)
    world.at(evening(worker))
    world.rest()
    visitor = world.app.test_client()
    sign_in(visitor, secret)
    (case,) = world.rows(tables.Case)
    listed = visitor.get("/console/", follow_redirects=True)
    assert case.reference in listed.text
    page = visitor.get(f"/console/cases/{case.id}")
    assert page.status_code == 200
    assert "<audio" in page.text
    for hidden in (worker.number, worker.number[1:], worker.alias, worker.pass_word, WORDS):
        assert hidden not in without_chance(page.text)
    with world.service.database.read() as connection:
        log = table(tables.AccessLog)
        reads = connection.execute(select(log.c.action).where(log.c.object_id == case.id)).scalars().all()
    assert reads


def add_supervisor(world: World, email: str | None = None) -> str:
    """A member of staff who may read cases; gives the secret of her one-time passwords."""
    return staff.add(
        world.service.database,
        world.service.sealer,
        world.service.clock,
        "supervisor",
        PASSWORD,
        [staff.Role.SUPERVISOR],
        email,
    )


def sign_in(visitor: FlaskClient, secret: str) -> None:
    """Sign the supervisor in."""
    page = visitor.get("/console/sign-in").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    answer = visitor.post(
        "/console/sign-in",
        data={
            "csrf_token": token[1],
            "name": "supervisor",
            "password": PASSWORD,
            "code": pyotp.TOTP(secret).now(),
            "next": "",
        },
    )
    assert answer.status_code == 303


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)
