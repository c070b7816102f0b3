"""Promises of the make-believe post: real SMTP, true signatures, mail that comes again until it is taken."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from typing import Any

import pytest
import requests
from playwright.sync_api import expect
from sqlalchemy import text

from bot.storage import tables
from tests.browser import NewPage
from tests.journeys.world import World, Worlds
from tests.ports import free_port

NUMBER = "+6281200000001"
ADDRESS = "6281200000001@mail.example"
LINE = "line@voiceback.example"
SECRET = "the-secret-of-the-post"
REPORT = "The boss hit me yesterday in the factory and nobody helped me."


@pytest.fixture
def world(worlds: Worlds, sqlite_url: str) -> World:
    """The service between the make-believe post's SMTP server and its mail programs."""
    port = free_port()
    mail = {"address": LINE, "secret": SECRET, "port": port}
    return worlds(
        sqlite_url,
        network_changes={"mail": mail, "handsets": [{"number": NUMBER, "name": "Siti"}]},
        smtp_url=f"smtp://127.0.0.1:{port}",
        email_from=LINE,
        email_webhook_secret=SECRET,
    )


def box(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.network.get("/sim/mail")["boxes"].get(NUMBER, [])
    return found


def write(world: World, words: str, **more: Any) -> None:
    world.network.post(f"/sim/mail/{NUMBER}/write", {"text": words} | more)
    world.run()


def test_a_talk_by_mail_goes_through_the_make_believe_post(world: World) -> None:
    write(world, REPORT, subject="My boss")
    came = [letter for letter in box(world) if not letter["mine"]]
    assert len(came) == 1
    assert came[0]["reply_to"].startswith("line+")
    write(world, "yes")
    assert len(world.rows(tables.Conversation)) == 1
    assert [answer[:2] for answer in world.answers()] == [("words", None), ("safe", "yes")]
    write(world, "something else", anew=True)
    assert len(world.rows(tables.Conversation)) == 2


def test_a_bounce_comes_back_to_its_message(world: World) -> None:
    write(world, REPORT)
    world.network.post(f"/sim/mail/{NUMBER}/bounce", {"status": "5.1.1"})
    world.network.idle()
    (sent,) = [row for row in world.rows(tables.Message) if row.direction == "out"]
    assert (sent.status, sent.error_code) == ("undelivered", "5.1.1")


def test_an_address_can_be_refused_and_taken_again(world: World) -> None:
    world.network.post(f"/sim/mail/{NUMBER}/refuse", {"reply": "451 4.0.0 later"})
    write(world, REPORT)
    assert [letter["mine"] for letter in box(world)] == [True]
    world.network.post(f"/sim/mail/{NUMBER}/refuse", {})
    world.rest()
    assert [letter["mine"] for letter in box(world)] == [True, False]


def test_mail_comes_again_until_it_is_taken(world: World) -> None:
    moves = iter(["message RENAME TO message_away", "", "message_away RENAME TO message"])

    def away(path: str) -> None:
        # The database fails twice.
        move = next(moves, "") if path == "/channels/email" else ""
        if move:
            with world.service.database.write() as connection:
                connection.execute(text(f"ALTER TABLE {move}"))

    world.before = away
    world.network.post(f"/sim/mail/{NUMBER}/write", {"text": REPORT})
    world.network.idle()
    assert [hit.status for hit in world.hits_at("/channels/email")] == [503, 503, 200]
    assert len(world.rows(tables.Case)) == 1


def test_a_forged_mail_is_refused_for_good(world: World) -> None:
    world.network.post(f"/sim/mail/{NUMBER}/raw")
    world.network.idle()
    assert world.rows(tables.Message) == []


def test_smtp_takes_mail_for_strangers_too(world: World) -> None:
    port = world.network.get("/sim/mail")["port"]
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = LINE, "staff@office.example", "Something waits"
    mail.set_content("Please sign in.")
    with smtplib.SMTP("127.0.0.1", port) as server:
        server.send_message(mail)
    boxes = world.network.get("/sim/mail")["boxes"]
    assert boxes["staff@office.example"][0]["text"] == "Please sign in."


def test_without_a_configuration_there_is_no_post(sqlite_world: World) -> None:
    url = f"{sqlite_world.network.url}/sim/mail/{NUMBER}/write"
    assert requests.post(url, json={"text": "x"}, timeout=60).status_code == 409


def test_the_phone_page_has_a_mailbox(world: World, browser: NewPage) -> None:
    page = browser()
    page.goto(world.network.url)
    page.get_by_role("button", name="Siti").click()
    page.get_by_role("tab", name="E-mail").click()
    expect(page.get_by_text(ADDRESS)).to_be_visible()
    page.get_by_label("Write a mail").fill(REPORT)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_label("Write a mail")).to_have_value("")
    world.run()
    expect(page.locator("#mail-letters")).to_contain_text("Is it safe to write here now")
    page.get_by_label("Write a mail").fill("yes")
    page.get_by_role("button", name="Reply", exact=True).click()
    expect(page.get_by_label("Write a mail")).to_have_value("")
    world.run()
    expect(page.locator("#mail-letters")).to_contain_text("What is it about?")
