"""Promises of the make-believe mailbox: what is written to the customer is read there by IMAP, with anybody's client."""

from __future__ import annotations

import imaplib
import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator import server
from simulator.errors import ConfigError

LINE = "line@voiceback.example"
USER, PASSWORD = "line", 'a "strange" pass\\word'
NUMBER = "+6281200000001"
ADDRESS = "6281200000001@mail.example"


@dataclass
class Office:
    """A world with a mailbox."""

    url: str

    def post(self, path: str, **body: Any) -> requests.Response:
        """Post to the control API, and wait until nothing is on its way."""
        reply = requests.post(f"{self.url}{path}", json=body, timeout=60)
        reply.raise_for_status()
        assert requests.get(f"{self.url}/sim/wait?timeout=60", timeout=90).json()["met"]
        return reply

    def ports(self) -> tuple[int, int]:
        """Where SMTP and IMAP are."""
        state = requests.get(f"{self.url}/sim/mail", timeout=60).json()
        return state["port"], state["imap_port"]

    def box(self) -> list[dict[str, Any]]:
        """The mails of a person."""
        state = requests.get(f"{self.url}/sim/mail", timeout=60).json()
        found: list[dict[str, Any]] = state["boxes"].get(NUMBER, [])
        return found

    @contextmanager
    def signed_in(self) -> Iterator[imaplib.IMAP4]:
        """Python's own client with the INBOX opened."""
        with imaplib.IMAP4("127.0.0.1", self.ports()[1], timeout=60) as client:
            client.login(USER, PASSWORD)
            client.select()
            yield client


def configuration() -> dict[str, Any]:
    mail = {"address": LINE, "imap_user": USER, "imap_password": PASSWORD}
    handsets = [{"number": NUMBER, "name": "Siti"}]
    return {"account_sid": "AC" + "0" * 32, "auth_token": "x", "mail": mail, "handsets": handsets}


@pytest.fixture
def office() -> Iterator[Office]:
    running = server.start(configuration())
    yield Office(running.url)
    running.stop()


def fetched(client: imaplib.IMAP4, uid: str) -> EmailMessage:
    _, data = client.uid("FETCH", uid, "(BODY.PEEK[])")
    first = data[0]
    assert isinstance(first, tuple)
    mail = message_from_bytes(first[1], policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def uids(client: imaplib.IMAP4, what: str = "ALL") -> list[str]:
    client.noop()
    return str(client.uid("SEARCH", what)[1][0], "ascii").split()


def test_a_mail_written_on_a_phone_is_read_flagged_and_expunged(office: Office) -> None:
    office.post(f"/sim/mail/{NUMBER}/write", text="Gaji tidak dibayar", subject="Gaji")
    with office.signed_in() as client:
        (uid,) = uids(client)
        mail = fetched(client, uid)
        assert (mail["From"], mail["To"], mail["Subject"]) == (ADDRESS, LINE, "Gaji")
        assert mail.get_content().strip() == "Gaji tidak dibayar"
        assert uids(client, "SEEN") == []
        client.uid("STORE", uid, "+FLAGS", "(\\Seen)")
        assert uids(client, "SEEN") == [uid]
        client.uid("STORE", uid, "+FLAGS", "(\\Deleted)")
        client.expunge()
        assert uids(client) == []


def test_mail_of_others_comes_by_smtp_also_to_an_address_with_a_tag(office: Office) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "boss@factory.example", "line+abc@voiceback.example", "Hello"
    mail.set_content("To whom it may concern")
    with smtplib.SMTP("127.0.0.1", office.ports()[0], timeout=60) as sender:
        sender.send_message(mail, to_addrs=["Line+abc@Voiceback.example", ADDRESS])
    with office.signed_in() as client:
        (uid,) = uids(client)
        assert fetched(client, uid)["Subject"] == "Hello"
    assert [(letter["subject"], letter["mine"]) for letter in office.box()] == [("Hello", False)]


def test_who_waits_with_idle_is_told_at_once(office: Office) -> None:
    with office.signed_in() as client:
        client.send(b"W1 IDLE\r\n")
        assert client.readline().startswith(b"+")
        office.post(f"/sim/mail/{NUMBER}/write", text="Halo")
        assert client.readline() == b"* 1 EXISTS\r\n"
        client.send(b"DONE\r\n")
        while not client.readline().startswith(b"W1 OK"):
            pass


def test_a_wrong_password_and_another_user_are_refused(office: Office) -> None:
    for user, password in ((USER, "wrong"), ("siti", PASSWORD)):
        client = imaplib.IMAP4("127.0.0.1", office.ports()[1], timeout=60)
        with pytest.raises(imaplib.IMAP4.error):
            client.login(user, password)
        client.shutdown()


def test_examine_changes_nothing(office: Office) -> None:
    office.post(f"/sim/mail/{NUMBER}/write", text="Halo")
    with office.signed_in() as client:
        client.select(readonly=True)
        (uid,) = uids(client)
        assert client.uid("STORE", uid, "+FLAGS", "(\\Seen)")[0] == "NO"


def test_a_world_started_again_has_the_mail_that_nobody_took_and_another_uidvalidity(tmp_path: Path) -> None:
    validities = []
    for start in range(2):
        running = server.start(configuration(), state=tmp_path / "state.json")
        office = Office(running.url)
        if not start:
            office.post(f"/sim/mail/{NUMBER}/write", text="one", files=["picture"])
        with office.signed_in() as client:
            (uid,) = uids(client)
            assert [part.get_filename() for part in fetched(client, uid).iter_attachments()] == [
                "picture.jpg"
            ]
            status = client.status("INBOX", "(UIDVALIDITY)")[1][0]
            validities.append(re.findall(rb"UIDVALIDITY (\d+)", status))
        running.stop()
    assert validities[0] != validities[1]


def test_a_reset_empties_the_mailbox(office: Office) -> None:
    office.post(f"/sim/mail/{NUMBER}/write", text="Halo")
    office.post("/sim/reset")
    with office.signed_in() as client:
        assert uids(client) == []


def test_an_answer_goes_to_the_mail_that_was_chosen_and_may_be_html_only(office: Office) -> None:
    port = office.ports()[0]
    for subject in ("One", "Two"):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = (
            LINE,
            ADDRESS,
            subject,
            f"<{subject}@x>",
        )
        mail.set_content(f"Question {subject} <b>")
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as sender:
            sender.send_message(mail)
    office.post(f"/sim/mail/{NUMBER}/write", text="yes & no", to="<One@x>", html=True)
    with office.signed_in() as client:
        (uid,) = uids(client)
        answer = fetched(client, uid)
    assert (answer["Subject"], answer["In-Reply-To"]) == ("Re: One", "<One@x>")
    assert answer.get_content_type() == "text/html"
    assert "yes &amp; no" in answer.get_content()
    assert "<blockquote" in answer.get_content()
    assert "Question One &lt;b&gt;" in answer.get_content()
    with pytest.raises(requests.HTTPError):
        office.post(f"/sim/mail/{NUMBER}/write", text="x", to="<Three@x>")


@pytest.mark.parametrize("mail", [{}, {"url": "http://127.0.0.1/x"}, {"imap_user": "x"}])
def test_a_post_without_a_way_to_the_customer_is_no_configuration(mail: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        server.start(configuration() | {"mail": {"address": LINE} | mail})
