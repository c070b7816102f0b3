"""Promises of the mailbox, against a real IMAP server: each mail once, none lost, none deleted before it is stored."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests
from imap_tools import MailBoxUnencrypted
from imap_tools.mailbox import BaseMailBox
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import worker
from bot.errors import ConfigurationError
from bot.privacy import keys
from bot.privacy.keys import Keyring
from bot.settings import Settings
from bot.storage import tables
from bot.storage.database import open_database
from channels import doctor, mailbox, mime
from channels.mailbox import Place, Reader
from simulator import server
from tests.channels.post import HOTLINE, WORKER, PostOffice, letter, reply
from tests.channels.test_email import REPORT, last
from tests.journeys.world import ROOT, World
from tests.ports import free_port

USER, PASSWORD = "hotline", "p@ss/word"
PATIENCE = 60.0
"""Seconds that a wait may last; it ends as soon as what it waits for is there."""


@contextmanager
def imap_server() -> Iterator[str]:
    """The make-believe world's mailbox, empty; gives the address of it."""
    mail = {"address": HOTLINE, "imap_user": USER, "imap_password": PASSWORD}
    running = server.start({"account_sid": "AC" + "0" * 32, "auth_token": "x", "mail": mail})
    try:
        port = requests.get(f"{running.url}/sim/mail", timeout=PATIENCE).json()["imap_port"]
        yield f"imap://{USER}:p%40ss%2Fword@127.0.0.1:{port}/INBOX"
    finally:
        running.stop()


def eventually(met: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a real, empty mailbox."""
    with imap_server() as address:
        yield address


@pytest.fixture
def box(url: str) -> Iterator[BaseMailBox]:
    """Somebody else's connection to the same mailbox."""
    place = Place.parse(url)
    with MailBoxUnencrypted(place.host, place.port).login(USER, PASSWORD) as opened:
        yield opened


def put(box: BaseMailBox, mail: EmailMessage | bytes, at: datetime | None = None) -> None:
    raw = mail.as_bytes() if isinstance(mail, EmailMessage) else mail
    box.append(raw, "INBOX", dt=at or datetime.now(UTC))


def inside(box: BaseMailBox) -> list[str]:
    box.client.noop()
    return box.uids("ALL")


def read(world: World, url: str) -> int:
    """Look into the mailbox once."""
    place = Place.parse(url)
    with mailbox.connected(place) as opened:
        found = Reader(world.service, place).read(opened)
    world.run()
    return found


def test_what_lies_in_the_mailbox_is_taken_answered_and_deleted(
    post_world: World, office: PostOffice, url: str, box: BaseMailBox
) -> None:
    put(box, letter(REPORT))
    assert read(post_world, url) == 1
    assert [words for direction, words in post_world.transcript() if direction == "in"] == [REPORT]
    assert inside(box) == []
    put(box, reply(last(office), "yes"))
    assert read(post_world, url) == 1
    assert len(post_world.rows(tables.Conversation)) == 1
    assert len(office.to(WORKER)) == 2
    assert read(post_world, url) == 0


def test_with_keep_it_stays_and_is_taken_once_all_the_same(
    post_world: World, office: PostOffice, url: str, box: BaseMailBox
) -> None:
    put(box, letter(REPORT))
    assert read(post_world, f"{url}?keep") == 1
    assert read(post_world, f"{url}?keep") == 0
    assert len(inside(box)) == 1
    assert box.uids("SEEN") == inside(box)
    assert len(office.sent) == 1


def test_what_somebody_else_has_read_already_is_taken(post_world: World, url: str, box: BaseMailBox) -> None:
    put(box, letter(REPORT))
    box.flag(box.uids("ALL"), ["\\Seen"], True)
    assert read(post_world, url) == 1
    assert len(post_world.rows(tables.Case)) == 1


def test_nothing_is_deleted_that_could_not_be_stored(post_world: World, url: str, box: BaseMailBox) -> None:
    put(box, letter(REPORT))
    database = post_world.service.database
    with database.write() as connection:
        connection.execute(text("ALTER TABLE message RENAME TO message_away"))
    with pytest.raises(OperationalError):
        read(post_world, url)
    assert len(inside(box)) == 1
    with database.write() as connection:
        connection.execute(text("ALTER TABLE message_away RENAME TO message"))
    assert read(post_world, url) == 1
    assert inside(box) == []
    assert len(post_world.rows(tables.Case)) == 1


def test_a_crash_between_storing_and_deleting_doubles_nothing(
    post_world: World, office: PostOffice, url: str, box: BaseMailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(box, letter(REPORT))

    def crash(_reader: Reader, _validity: int, _uid: int) -> None:
        raise RuntimeError("the power went off")

    with monkeypatch.context() as broken:
        broken.setattr(Reader, "_move_on", crash)
        with pytest.raises(RuntimeError):
            read(post_world, url)
    assert len(inside(box)) == 1
    assert read(post_world, url) == 1
    assert inside(box) == []
    assert len(post_world.rows(tables.Message)) == 2
    assert len(office.sent) == 1


def test_a_mailbox_that_was_made_anew_is_read_from_its_beginning(
    post_world: World, office: PostOffice, url: str, box: BaseMailBox
) -> None:
    for n in range(3):
        put(box, letter(f"{REPORT} {n}"))
    read(post_world, url)
    with imap_server() as other:
        # The same name, another UIDVALIDITY, UIDs from 1 again.
        index = post_world.service.sealer.index(Place.parse(other).name, "mailbox")
        with post_world.service.database.write() as connection:
            connection.execute(
                text('UPDATE mailbox SET uid_validity = 1, "index" = :index'), {"index": index}
            )
        place = Place.parse(other)
        with MailBoxUnencrypted(place.host, place.port).login(USER, PASSWORD) as another:
            put(another, letter("They do not let us out at night"))
            assert read(post_world, other) == 1
    assert len(office.sent) == 4


def test_old_mail_is_put_before_a_supervisor_and_not_answered(
    post_world: World, office: PostOffice, url: str, box: BaseMailBox
) -> None:
    put(box, letter(REPORT), datetime.now(UTC) - timedelta(days=10))
    assert read(post_world, url) == 1
    assert office.sent == []
    assert len(post_world.rows(tables.Case)) == 1


def test_what_nobody_can_read_is_kept_and_does_not_stop_the_others(
    post_world: World, office: PostOffice, url: str, box: BaseMailBox
) -> None:
    put(box, b"this is no mail\r\n\r\n\xff\xfe")
    put(box, letter(REPORT))
    assert read(post_world, url) == 2
    assert inside(box) == []
    assert len(office.sent) == 1
    (row,) = post_world.rows(tables.Attachment)
    sealer = post_world.service.sealer
    assert b"no mail" in sealer.open_bytes(f"attachment.content_sealed:{row.id}", row.content_sealed)
    assert ("provider", "email unreadable") in post_world.incidents()


def test_a_mail_that_is_too_long_is_taken_as_far_as_it_goes_and_stays_on_the_server(
    post_world: World, url: str, box: BaseMailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mime, "MOST_BYTES", 20_000)
    mail = letter(REPORT)
    mail.add_attachment(b"\0" * 50_000, maintype="video", subtype="mp4", filename="a.mp4")
    put(box, mail)
    assert read(post_world, url) == 1
    assert post_world.answers()[0][2] == REPORT
    assert len(inside(box)) == 1
    assert ("provider", "email too large") in post_world.incidents()
    assert read(post_world, url) == 0


def test_mail_is_taken_the_moment_it_comes(
    post_world: World, office: PostOffice, url: str, box: BaseMailBox
) -> None:
    stop = threading.Event()
    reader = threading.Thread(target=Reader(post_world.service, Place.parse(url)).keep_reading, args=(stop,))
    reader.start()
    try:
        for n in range(2):
            put(box, letter(f"{REPORT} {n}"))
            # Half of the time after which it would be looked without a word of the server.
            eventually(lambda n=n: len(post_world.rows(tables.Case)) == n + 1, mailbox.IDLE_SECONDS / 2)  # type: ignore[misc]  # the loop's value
    finally:
        stop.set()
        reader.join(PATIENCE)
    assert not reader.is_alive()
    post_world.run()
    assert len(office.sent) == 2


def test_a_server_without_idle_is_asked_again_and_again(
    post_world: World, url: str, box: BaseMailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "can_idle", lambda _box: False)
    monkeypatch.setattr(mailbox, "POLL_SECONDS", 0.05)
    stop = threading.Event()
    reader = threading.Thread(target=Reader(post_world.service, Place.parse(url)).keep_reading, args=(stop,))
    reader.start()
    try:
        put(box, letter(REPORT))
        eventually(lambda: post_world.rows(tables.Case))
    finally:
        stop.set()
        reader.join(PATIENCE)


def test_a_server_that_is_away_is_told_to_the_operator_and_waited_for(post_world: World) -> None:
    port = free_port()
    stop = threading.Event()
    place = Place.parse(f"imap://hotline:secret@127.0.0.1:{port}/INBOX")
    reader = threading.Thread(target=Reader(post_world.service, place).keep_reading, args=(stop,))
    reader.start()
    try:
        eventually(lambda: ("provider", "email mailbox ConnectionRefusedError") in post_world.incidents())
    finally:
        stop.set()
        reader.join(PATIENCE)
    assert not reader.is_alive()


def test_a_server_that_hangs_up_while_we_wait_is_noticed_and_signed_in_to_again(
    post_world: World, url: str, box: BaseMailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[BaseMailBox] = []
    true = mailbox.connected

    @contextmanager
    def connected(place: Place) -> Iterator[BaseMailBox]:
        with true(place) as opened:
            connections.append(opened)
            yield opened

    monkeypatch.setattr(mailbox, "connected", connected)
    stop = threading.Event()
    reader = threading.Thread(target=Reader(post_world.service, Place.parse(url)).keep_reading, args=(stop,))
    reader.start()
    try:
        eventually(lambda: connections)
        connections[0].client.sock.shutdown(socket.SHUT_RDWR)
        eventually(lambda: len(connections) > 1)
        put(box, letter(REPORT))
        eventually(lambda: post_world.rows(tables.Case))
    finally:
        stop.set()
        reader.join(PATIENCE)
    assert not any(subject.startswith("email mailbox") for _, subject in post_world.incidents())


@pytest.mark.parametrize(
    "url",
    ["pop3://a:b@mail.example", "imaps://mail.example/INBOX", "imaps://a:b@mail.example:x/", "imaps://"],
)
def test_an_address_that_cannot_be_used_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Place.parse(url)
    assert "mail.example" not in str(refused.value)


def test_an_address_is_read_with_what_is_left_out() -> None:
    place = Place.parse("imaps://line%40x.example:p%40@mail.example")
    assert (place.host, place.port, place.user, place.password, place.folder, place.keep) == (
        *("mail.example", 993, "line@x.example", "p@", "INBOX"),
        False,
    )
    assert "p@" not in repr(place)


def test_doctor_signs_in_to_both_servers(post_world: World, office: PostOffice, url: str) -> None:
    settings = post_world.service.settings
    found = doctor._mail(settings.model_copy(update={"imap_url": _secret(url)}))
    assert {finding.level for finding in found} == {"ok"}
    wrong = url.replace("p%40ss", "other")
    found = doctor._mail(settings.model_copy(update={"imap_url": _secret(wrong)}))
    assert [finding.message for finding in found if finding.level == "error"] == [
        "the mailbox cannot be opened (MailboxLoginError)"
    ]


def _secret(value: str) -> object:
    from pydantic import SecretStr

    return SecretStr(value)


# --- the process --------------------------------------------------------------------------------------


def test_a_process_reads_the_mailbox_until_it_is_told_to_stop(
    office: PostOffice, url: str, box: BaseMailBox, sqlite_url: str, ring: Keyring, tmp_path: Path
) -> None:
    keys.write(tmp_path / "keys.json", ring)
    environment = os.environ | {
        "DATABASE_URL": sqlite_url,
        "VOICEBACK_KEYS": str(tmp_path / "keys.json"),
        "SMTP_URL": office.url,
        "EMAIL_FROM": "hotline@voiceback.example",
        "IMAP_URL": url,
    }
    put(box, letter(REPORT))
    database = open_database(sqlite_url)
    command = [sys.executable, str(ROOT / "worker.py"), "mailbox"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log)
    try:
        eventually(lambda: inside(box) == [])
        with database.read() as connection:
            taken = connection.execute(text("SELECT direction FROM message ORDER BY id")).scalars().all()
            alive = connection.execute(text("SELECT name FROM heartbeat")).scalars().all()
        assert taken == ["in", "out"]
        assert mailbox.PART in alive
    finally:
        database.dispose()
        process.terminate()
        assert process.wait(PATIENCE) == 0
    said = (tmp_path / "log").read_text()
    assert not any(word in said for word in (WORKER, "hit me", "p%40ss", PASSWORD))


def test_a_process_for_the_mailbox_runs_only_where_there_is_one(office: PostOffice) -> None:
    given = {"smtp_url": office.url, "email_from": "a@b.example", "work_processes": 1}
    secret = {"email_webhook_secret": "0123456789abcdef"}
    with_mailbox = {"imap_url": "imaps://a:b@mail.example"}
    assert worker.parts(Settings.model_validate(given | secret)) == ["clock", "jobs"]
    assert worker.parts(Settings.model_validate(given | with_mailbox)) == ["clock", "jobs", "mailbox"]
    with pytest.raises(ConfigurationError):
        worker.parts(Settings.model_validate(given | {"imap_url": "pop3://a:b@mail.example"}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"email_from": "no address"},
        {"email_from": f"{'a' * 25}@b.example"},
        {"email_webhook_secret": "short"},
    ],
)
def test_a_start_with_settings_that_cannot_work_is_refused(wrong: dict[str, str]) -> None:
    given = {"smtp_url": "smtp://127.0.0.1", "email_from": "a@b.example", "email_webhook_secret": "0" * 16}
    Settings.model_validate(given).check()
    with pytest.raises(ConfigurationError):
        Settings.model_validate(given | wrong).check()
