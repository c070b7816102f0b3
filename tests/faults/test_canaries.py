"""Made-up secrets are told to the whole running service, failures included, and then looked for everywhere."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest
import requests
from sqlalchemy import insert, select

from bot import agents, staff, talks
from bot.clock import wall_time
from bot.ids import new_id
from bot.queue import EmbeddedRedis
from bot.storage import tables
from tests.faults.station import Station, eventually, station
from tests.faults.test_processes import callbacks, wait_until_served
from tests.journeys.world import BEGIN, CONSENTS, HOTLINE, REPORTS_DISMISSAL, Worker

PHONE = "+6281277788899"
OTHER = "+6281277788900"
BAD = "+6281277788901"
ALIAS = "Zanzibar-Kestrel"
PASS_WORD = "40926173"
WORDS = "Seventeen purple giraffes signed my payslip in January and nobody helped us with it"
MAIL = "canary-supervisor@kestrel.example"
AGENT = "+6281277788902"
"""The telephone of an agent: as much a secret of hers as a worker's is."""
PASSWORD = "correct horse battery staple"
NUMBERS = tuple(number[3:] for number in (PHONE, OTHER, BAD, AGENT))
"""Without the country's code, as every way of writing them has these digits."""
FILE = {
    "name": f"{ALIAS}.txt",
    "content_type": "text/plain",
    "data": base64.b64encode(f"{PHONE} {ALIAS} {PASS_WORD} {WORDS}".encode()).decode(),
}
_staff = tables.table(tables.Staff)
CANARIES = (*NUMBERS, ALIAS, PASS_WORD, "purple giraffes", MAIL)


@dataclass(frozen=True)
class Find:
    """A canary that was found where it must not be."""

    canary: str
    where: str


def hits(data: bytes, where: str) -> list[Find]:
    """The canaries in some bytes, also under zlib, base64, percent signs and both."""
    found = []
    for canary in CANARIES:
        needles = {canary.encode(), canary.encode("utf-16-le"), canary.replace(" ", "+").encode()}
        needles.add(canary.replace(" ", "%20").encode())
        if any(needle.lower() in layer.lower() for layer in layers(data) for needle in needles):
            found.append(Find(canary, where))
    return found


def layers(data: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes themselves, and what is packed in them."""
    yield data
    if depth:
        for at in (match.start() for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data)):
            try:
                yield from layers(zlib.decompressobj().decompress(data[at:]), depth - 1)
            except zlib.error:
                continue
        for coded in re.findall(rb"[A-Za-z0-9+/]{24,}={0,2}", data):
            try:
                yield from layers(base64.b64decode(coded + b"=" * (-len(coded) % 4)), 0)
            except (binascii.Error, ValueError):
                continue


def test_the_scan_would_find_what_is_hidden() -> None:
    secret = f"x {PHONE} y".encode()
    packed = base64.b64encode(b"-" * 30 + secret)
    for data in (secret, zlib.compress(secret), packed, b"z" + zlib.compress(packed), PASS_WORD.encode()):
        assert hits(data, "here"), data
    assert not hits(b"nothing at all" + zlib.compress(b"nothing"), "here")


@pytest.fixture
def told(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    """A station that was told everything, in fair weather and in foul."""
    monkeypatch.setenv("LANG", "C.UTF-8")
    with station(tmp_path, database_url, log_level="DEBUG") as at:
        secret = add_supervisor(at)
        (tmp_path / "totp").write_text(secret, encoding="utf-8")
        tell(at)
        yield at


def tell(at: Station) -> None:
    """A worker is called and writes; others fail; forged, broken and repeated requests arrive."""
    hangs_up = {"steps": [*BEGIN, *CONSENTS, {"hangup": True}]}
    at.network.post("/sim/errors", number=BAD, create=21211, message=30006)
    at.interviewed(
        Worker(number=PHONE, alias=ALIAS, pass_word=PASS_WORD, script=REPORTS_DISMISSAL),
        Worker(number=OTHER, alias=f"{ALIAS}-2", pass_word=PASS_WORD, script=hangs_up),
        Worker(number=BAD, alias=f"{ALIAS}-3", pass_word=PASS_WORD, script="busy"),
    )
    for body in (WORDS, "yes", "1", WORDS):
        at.network.text(PHONE, body)
        at.network.idle()
    at.network.text(PHONE, WORDS, media=[FILE])
    at.network.idle()
    eventually(lambda: {row.state for row in media_of(at)} == {"kept"}, "the file that was sent")
    at.network.text(BAD, WORDS)
    forged = {"MessageSid": "SM1", "From": PHONE, "To": HOTLINE, "Body": WORDS}
    assert requests.post(at.url + "/channels/sms", data=forged, timeout=60).status_code == 403
    assert requests.get(f"{at.url}/channels/{PHONE}?From={PHONE}", timeout=60).status_code >= 400
    at.network.post("/sim/chaos", {"error": 1.0, "duplicate": 0.5})
    at.network.text(OTHER, WORDS)
    at.network.idle()
    at.network.post("/sim/chaos", {})
    wait_until_served(at)
    talk_with_an_agent(at)
    eventually(lambda: len(at.network.texts_to(PHONE)) >= 3, "the answers")
    at.network.idle()


def talk_with_an_agent(at: Station) -> None:
    """A worker calls the hotline and talks with an agent, who writes down what she heard."""
    agent = staff.add(
        at.service.database,
        at.service.sealer,
        at.service.clock,
        "agent",
        PASSWORD,
        [staff.Role.AGENT],
    )
    assert agent
    takes = {"steps": [{"keys": "1"}, {"talk": [{"speak": "Hello", "seconds": 2}, {"hangup": True}]}]}
    at.network.post("/sim/handsets", [{"number": AGENT, "name": "agent", "script": takes}])
    now, wall = at.service.clock.now(), wall_time()
    with at.service.database.write() as connection:
        (me,) = connection.execute(select(_staff.c.id).where(_staff.c.name == "agent")).scalars()
        agents.set_phone_and_languages(
            connection, at.service.sealer, me, phone=AGENT, languages=["en", "id"], now=now
        )
        session = {"id": new_id(), "staff_id": me, "data": "{}", "created_at": wall, "seen_at": wall}
        connection.execute(insert(tables.table(tables.StaffSession)).values(session))
        agents.come(connection, me, now)
    at.network.ring(OTHER, script={"steps": [{"keys": "1"}, {"keys": "1"}, {"keys": "0"}], "then": "silent"})
    eventually(lambda: outcomes_of_talks(at) == ["talked"], "the talk with the agent")
    with at.service.database.write() as connection:
        talk = talks.own_talk(connection, me)
        assert talk is not None
        library, sealer = at.service.library, at.service.sealer
        talks.note(connection, sealer, library.taxonomy, me, talk.transfer_id, WORDS, now)
        talks.wrap_up(connection, me, talk.transfer_id, now, available=False)


def outcomes_of_talks(at: Station) -> list[str | None]:
    """What became of each wait for an agent that is over."""
    found = tables.table(tables.Transfer)
    with at.service.database.read() as connection:
        return list(connection.execute(select(found.c.outcome).where(found.c.state == "ended")).scalars())


def media_of(at: Station) -> Sequence[Any]:
    """The files that lay with the provider."""
    with at.service.database.read() as connection:
        return connection.execute(select(tables.table(tables.Media))).all()


def add_supervisor(at: Station) -> str:
    """A supervisor whose mail address is a canary too."""
    return staff.add(
        at.service.database,
        at.service.sealer,
        at.service.clock,
        "supervisor",
        PASSWORD,
        [staff.Role.SUPERVISOR],
        MAIL,
    )


def test_no_secret_is_anywhere_in_clear(told: Station) -> None:
    pages = console_pages(told)
    found = [find for name, page in pages.items() for find in hits(page.encode(), name)]
    shown = {find.canary for find in found}
    assert shown <= {"purple giraffes"}, "a supervisor sees words, and never a number, a name or a code"
    assert shown == {"purple giraffes"}, "the transcript is to be read"
    assert redis_finds(told) == []
    told.stop()
    assert database_finds(told) == []
    assert file_finds(told) == []
    assert {each["state"] for each in callbacks(told)} <= {"reached", "scheduled", "given_up"}


def console_pages(at: Station) -> dict[str, str]:
    """Every page that a supervisor can reach by the links on her pages."""
    visitor = requests.Session()
    visitor.trust_env = False
    page = visitor.get(at.url + "/console/sign-in", timeout=60).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    fields = {
        "csrf_token": token[1],
        "name": "supervisor",
        "password": PASSWORD,
        "code": pyotp.TOTP((at.folder / "totp").read_text(encoding="utf-8")).now(),
        "next": "",
    }
    assert visitor.post(at.url + "/console/sign-in", data=fields, timeout=60).ok
    pages: dict[str, str] = {}
    waiting = ["/console/"]
    while waiting and len(pages) < 60:
        path = waiting.pop()
        if path in pages:
            continue
        answer = visitor.get(at.url + path, timeout=60)
        pages[path] = answer.text if "text/html" in answer.headers.get("Content-Type", "") else ""
        waiting += [
            link.replace("&amp;", "&") for link in re.findall(r'href="(/console/[^"#]*)"', pages[path])
        ]
    assert any("/console/cases/" in path for path in pages)
    return pages


def redis_finds(at: Station) -> list[Find]:
    """What stands in Redis, finished and failed jobs too."""
    with EmbeddedRedis.attach(at.folder / "var" / "redis").connection as connection:
        found = []
        for key in connection.scan_iter("*"):
            found += hits(_raw(key), "a key of Redis") + hits(connection.dump(key) or b"", "Redis")
            if _raw(connection.type(key)) == b"hash":
                for name, value in connection.hgetall(key).items():
                    found += hits(_raw(name) + b" " + _raw(value), "a hash of Redis")
        return found


def _raw(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def database_finds(at: Station) -> list[Find]:
    """What stands in any column of any table."""
    found = []
    with at.service.database.read() as connection:
        for each in tables.metadata.sorted_tables:
            for row in connection.execute(select(each)).all():
                for name, value in row._mapping.items():
                    data = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    found += hits(data, f"{each.name}.{name}")
    return found


def file_finds(at: Station) -> list[Find]:
    """What stands in any file that the service wrote: database, write-ahead log, Redis, logs."""
    files = [
        path for path in at.folder.rglob("*") if path.is_file() and path.name not in {"keys.json", "totp"}
    ]
    assert {"work.log", "redis.log"} <= {path.name for path in files if path.stat().st_size}
    return [find for path in files for find in hits(path.read_bytes(), path.name)]
