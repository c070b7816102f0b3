"""A world to try the service in: served over HTTP, with a make-believe telephone network and a clock that is moved.

Nothing here waits for real time to pass. What would wait (leases, pace, the grace after a call) is written in
the database, and :meth:`World.pass_time` makes it older, as if the time had gone by.
"""

from __future__ import annotations

import csv
import io
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from flask import Flask
from sqlalchemy import bindparam, select, update
from twilio.request_validator import RequestValidator
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from app import create_app
from bot import tick
from bot.audits.importing import Report, bring_in
from bot.audits.upload import read
from bot.callbacks import overview
from bot.clock import FrozenClock
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.messages import Address, AddressKind
from bot.privacy.keys import Keyring
from bot.privacy.seal import Sealer
from bot.service import Service
from bot.settings import Settings
from bot.storage import tables
from bot.storage.database import Database, open_database
from bot.storage.tables import table
from channels import jobs
from simulator import server as simulator

ROOT = Path(__file__).parents[2]
ACCOUNT = "AC" + "1" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
BOT_TOKEN = "4242424242:" + "make-believe-bot-token"
HOTLINE = "+12025550100"
CALLER = "+12025550199"
NOTICE = "HX" + "2" * 32
"""The neutral notice that WhatsApp of this world has approved."""
STEP = timedelta(seconds=1)
MOST_BEATS = 60
PATIENCE = 60
"""Seconds that a wait may last; it ends as soon as what it waits for is there."""
_BY_THE_TEST = "X-By-The-Test"
_OURS = "HTTP_X_BY_THE_TEST"
Json = dict[str, Any]

_WALL_TIMES = (
    (tables.Attempt, "lease_until"),
    (tables.Attempt, "asked_at"),
    (tables.Outbox, "lease_until"),
    (tables.Conversation, "timer_lease"),
    (tables.RecordingRow, "due_at"),
    (tables.Media, "due_at"),
    (tables.Message, "forget_at"),
    (tables.Leftover, "due_at"),
    (tables.Transfer, "lease_until"),
    (tables.Pace, "next_at"),
    (tables.Heartbeat, "at"),
)
"""Everything that runs on wall time: made older when time is to pass."""


@dataclass(frozen=True)
class Worker:
    """A made-up worker who was interviewed. Her handset does what ``script`` says (``simulator/scripts.py``)."""

    number: str = "+6281200000001"
    alias: str = "W-1"
    language: str = "en"
    timezone: str = "Asia/Jakarta"
    preferred_time: str = "evening"
    pass_word: str = "4711"
    channel: str = "voice"
    role: str = "interviewed"
    country: str = "ID"
    script: object = "manual"
    reminder: str = ""
    """Whether she agreed to a text before the call, as the auditor writes it."""


@dataclass(frozen=True)
class Hit:
    """A webhook that reached us, kept so that it can come again."""

    target: str
    body: bytes
    signature: str
    answer: str = ""
    status: int = 0

    @property
    def form(self) -> dict[str, str]:
        """The fields of its form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class Network:
    """The make-believe Twilio, seen from outside."""

    url: str

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path of the control API."""
        return self._decoded(requests.get(self.url + path, params=query, timeout=2 * PATIENCE))

    def post(self, path: str, body: object = None, **fields: Any) -> Any:
        """Post JSON to the control API."""
        json = body if body is not None else fields
        return self._decoded(requests.post(self.url + path, json=json, timeout=2 * PATIENCE))

    def script(self, number: str, script: object) -> None:
        """What the owner of a handset does from now on."""
        self._decoded(
            requests.patch(f"{self.url}/sim/handsets/{number}", json={"script": script}, timeout=2 * PATIENCE)
        )

    def idle(self) -> None:
        """Wait until no call, message or webhook is under way."""
        assert self.get("/sim/wait", timeout=PATIENCE)["met"], "the network does not come to rest"

    def calls(self, number: str | None = None) -> list[Json]:
        """All calls, or those with one handset, oldest first."""
        found: list[Json] = self.get("/sim/state", parts="calls")["calls"]
        return [call for call in found if number in (None, call["to"], call["from"])]

    def texts_to(self, number: str) -> list[str]:
        """What we wrote to a handset, oldest first."""
        state = self.get("/sim/state", parts="messages,deleted")
        found = sorted(state["messages"] + state["deleted"], key=lambda message: message["created"])
        return [message["body"] for message in found if message["to"] == number]

    def recordings(self) -> list[Json]:
        """All recordings, deleted ones too."""
        return cast(list[Json], self.get("/sim/state", parts="recordings")["recordings"])

    def text(
        self, sender: str, body: str, to: str = HOTLINE, *, media: Iterable[object] = (), **extra: str
    ) -> str:
        """A worker writes to us, perhaps with files (``simulator/attachments.py``); gives the message's id."""
        sent = self.post(
            "/sim/sms", {"from": sender, "to": to, "body": body, "extra": extra, "media": list(media)}
        )
        return str(sent["sid"])

    def ring(self, sender: str, to: str = HOTLINE, script: object = None) -> str:
        """Somebody calls one of our numbers; gives the call's id."""
        body = {"from": sender, "to": to} | ({"script": script} if script is not None else {})
        path = "/sim/call"
        return str(self.post(path, body)["sid"])

    def _decoded(self, reply: requests.Response) -> Any:
        assert reply.ok, f"{reply.status_code} {reply.text[:200]}"
        return reply.json()


class Place(Protocol):
    """Where something was played: a service with a network around it."""

    @property
    def network(self) -> Network:
        """The make-believe provider."""

    @property
    def service(self) -> Service:
        """The service, with its database and its clock."""


def heard(call: Json) -> list[str]:
    """What was said in a call, in order."""
    return [step["text"] for step in call["steps"] if step["kind"] == "say"]


def without_chance(page: str) -> str:
    """A page without what is drawn by lot, ids and the form's token: any few digits may stand there by accident."""
    return re.sub(r'[0-9a-f]{16,}|name="csrf_token" value="[^"]*"', "", page)


def said_in(document: str) -> list[str]:
    """The texts of a TwiML document."""
    return [element.text or "" for element in ET.fromstring(document).iter("Say")]  # noqa: S314 - our own


@dataclass(repr=False)
class World:
    """The service with everything around it."""

    service: Service
    clock: FrozenClock
    url: str
    network: Network
    app: Flask
    folder: Path
    hits: list[Hit] = field(default_factory=list)
    before: Callable[[str], int | None] | None = None
    """Called with the path of each request of the network before it is served, to bring about a race; what it gives is
    answered. What the test itself posts passes by."""

    # --- people ------------------------------------------------------------------------------

    def interviewed(
        self, *workers: Worker, audit_date: str = "2026-02-25", client: str = "Brand A", ref: str = "A-1"
    ) -> Report:
        """Register an audit and its workers by the file that an auditor uploads; their handsets exist from now on."""
        path = self.folder / "upload.csv"
        path.write_text(upload(workers, audit_date=audit_date, client=client, ref=ref), encoding="utf-8")
        self.network.post(
            "/sim/handsets",
            [
                {
                    "number": worker.number,
                    "name": worker.alias,
                    "pass_word": worker.pass_word,
                    "script": worker.script,
                }
                for worker in workers
            ],
        )
        return bring_in(self.service, read(path))

    # --- time --------------------------------------------------------------------------------

    def at(self, instant: str) -> None:
        """Go to an instant of ISO 8601, with its offset, and do nothing yet."""
        self.pass_time(datetime.fromisoformat(instant) - self.clock.now())

    def pass_time(self, by: timedelta) -> None:
        """Let time go by on the service's clock and on the wall."""
        self.clock.advance(by)
        age(self.service.database, by)

    def beat(self) -> list[tick.Work]:
        """One beat of the clock, and the jobs that it asks for, one after the other."""
        asked = []
        for work in tick.beat(self.service):
            asked.append(work)
            self.work(work)
        return asked

    def work(self, work: tick.Work) -> None:
        """Run one job, as a worker would."""
        getattr(jobs, work.job)(*work.ids)

    def run(self) -> None:
        """Beat, a second apart, until nothing is due and the network is at rest."""
        quiet = 0
        for _ in range(MOST_BEATS):
            asked = self.beat()
            self.network.idle()
            quiet = 0 if asked else quiet + 1
            if quiet == 2:
                return
            self.pass_time(STEP)
        raise AssertionError("there is always something due")

    def rest(self) -> None:
        """Run, and let the seconds pass that are waited after a call or a doubtful answer, a few times."""
        for _ in range(3):
            self.run()
            self.pass_time(timedelta(seconds=15))
        self.run()

    # --- webhooks ----------------------------------------------------------------------------

    def signed(self, path: str, fields: Iterable[tuple[str, str]] | dict[str, str]) -> requests.Response:
        """Post a form to one of our addresses, signed as Twilio signs."""
        form = dict(fields)
        signature = RequestValidator(TOKEN).compute_signature(self.url + path, form)
        return requests.post(
            self.url + path,
            data=form,
            headers={"X-Twilio-Signature": signature, _BY_THE_TEST: "1"},
            timeout=2 * PATIENCE,
        )

    def again(self, hit: Hit) -> requests.Response:
        """Let a webhook come once more, exactly as it was."""
        return requests.post(
            self.url + hit.target,
            data=hit.body,
            headers={
                "X-Twilio-Signature": hit.signature,
                _BY_THE_TEST: "1",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            timeout=2 * PATIENCE,
        )

    def hits_at(self, prefix: str) -> list[Hit]:
        """The webhooks whose path begins so, in order."""
        return [hit for hit in self.hits if urlsplit(hit.target).path.startswith(prefix)]

    # --- what became of it -------------------------------------------------------------------

    def rounds(self) -> list[Json]:
        """All callbacks with their attempts, oldest first, as ``voiceback callbacks show`` prints them."""
        with self.service.database.read() as connection:
            return cast(list[Json], overview.newest(connection, 1000)[::-1])

    def callbacks(self) -> list[Json]:
        """The callbacks of the first round, oldest first."""
        return [each for each in self.rounds() if each["round"] == 1]

    def callback(self) -> Json:
        """The only callback of the first round."""
        (found,) = self.callbacks()
        return found

    def dispositions(self) -> list[str]:
        """How the attempts of the only callback came out."""
        return [attempt["disposition"] for attempt in self.callback()["attempts"]]

    def rows(self, row: type[tables.Row]) -> list[Any]:
        """All rows of a table, in the order of their making."""
        found = table(row)
        order = list(found.primary_key)
        with self.service.database.read() as connection:
            return list(connection.execute(select(found).order_by(*order)).all())

    def counts(self) -> dict[str, int]:
        """How many rows each table has, but for what the clock reads off every minute."""
        with self.service.database.read() as connection:
            return {
                each.name: len(connection.execute(select(next(iter(each.primary_key)))).all())
                for each in tables.metadata.sorted_tables
                if each is not table(tables.Reading)
            }

    def incidents(self) -> set[tuple[str, str]]:
        """Kind and subject of what the operator was told and is not mended."""
        return {(row.kind, row.subject) for row in self.rows(tables.Incident) if row.resolved_at is None}

    def transcript(self) -> list[tuple[str, str]]:
        """Direction and words of all messages, in order."""
        return [
            (
                row.direction,
                self.service.sealer.open_text(f"message.body_sealed:{row.id}", row.body_sealed),
            )
            for row in self.rows(tables.Message)
        ]

    def answers(self) -> list[tuple[str, str | None, str | None]]:
        """Question, code and words of all answers, in order."""
        return [
            (
                row.question,
                row.code,
                self.service.sealer.open_text(f"answer.text_sealed:{row.id}", row.text_sealed)
                if row.text_sealed
                else None,
            )
            for row in self.rows(tables.Answer)
        ]

    def phone(self, number: str) -> Address:
        """The address of a number."""
        return Address(AddressKind.PHONE, number)


def upload(
    workers: Iterable[Worker], *, audit_date: str = "2026-02-25", client: str = "Brand A", ref: str = "A-1"
) -> str:
    """The CSV file that an auditor uploads for one audit."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(
        (
            *("audit_ref", "client", "factory", "country", "audit_date"),
            *("phone", "language", "preferred_time", "timezone", "channel", "pass_word", "alias", "role"),
            "reminder",
        )
    )
    for worker in workers:
        rows.writerow(
            (
                *(ref, client, "Blue Works", worker.country, audit_date),
                *(worker.number, worker.language, worker.preferred_time, worker.timezone),
                *(worker.channel, worker.pass_word, worker.alias, worker.role),
                worker.reminder,
            )
        )
    return out.getvalue()


def age(database: Database, by: timedelta) -> None:
    """Make everything older that waits for the wall's time to pass."""
    for row, name in _WALL_TIMES:
        kept = table(row)
        column, key = kept.c[name], next(iter(kept.primary_key))
        older = (
            update(kept)
            .where(key == bindparam("key"), column == bindparam("was"))
            .values({name: bindparam("then")})
        )
        # Each table apart: whoever works meanwhile locks them in an order of its own.
        with database.write() as connection:
            rows = connection.execute(select(key, column).where(column.is_not(None))).all()
            if rows:
                connection.execute(older, [{"key": k, "was": was, "then": was - by} for k, was in rows])


# --- what workers do on the telephone -------------------------------------------------------------

BEGIN = ({"keys": "1"}, {"keys": "{pass_word}#"}, {"keys": "1"})
"""A good time, the right pass-word, and it is safe."""
CONSENTS = ({"keys": "1"}, {"keys": "1"}, {"keys": "1"}, {"keys": "1"}, {"keys": "1"})
"""Call again if cut off, take part, record, write down, send texts."""
DISMISSED = (
    *({"keys": "2"}, {"keys": "2"}, {"keys": "2"}),
    *({"keys": "2"}, {"keys": "2"}, {"keys": "2"}, {"keys": "1"}, {"keys": "2"}, {"keys": "4"}),
)
"""Not coached, no false papers, not made to tell; not there any more, since the week after, not by her own
choice, because of the visit, no pay owed, papers and housing not kept."""
WORDS = "They wrote my dismissal the morning after the visit"
REST = (
    *({"keys": "1"}, {"keys": "2"}, {"keys": "1"}),
    *({"speak": WORDS, "seconds": 4}, {"keys": "3"}, {"keys": "1"}, {"keys": "2"}, {"keys": "1"}),
)
"""Still safe, not threatened, something else in her own words, put it right, tell the buyer, not the employer,
contact again."""
REPORTS_DISMISSAL = {"steps": [*BEGIN, *CONSENTS, *DISMISSED, *REST]}


# --- fixtures -------------------------------------------------------------------------------------


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Say nothing."""


class _Front:
    """What stands before the application: it remembers webhooks, so that they can be repeated."""

    def __init__(self) -> None:
        self.world: World | None = None

    def __call__(self, environ: Json, start_response: Any) -> Iterable[bytes]:
        assert self.world is not None
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        query = environ.get("QUERY_STRING", "")
        target = environ["PATH_INFO"] + (f"?{query}" if query else "")
        before = None if _OURS in environ else self.world.before
        if before is not None and (refused := before(environ["PATH_INFO"])):
            start_response(f"{refused} Refused", [("Content-Length", "0")])
            return [b""]
        status: list[int] = []

        def start(line: str, headers: Any, exc_info: Any = None) -> Any:
            status.append(int(line.split(maxsplit=1)[0]))
            return start_response(line, headers, exc_info)

        answer = self.world.app.wsgi_app(environ, start)
        try:
            whole = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        signature = environ.get("HTTP_X_TWILIO_SIGNATURE", "")
        text = whole.decode("utf-8", "replace")
        self.world.hits.append(Hit(target, body, signature, text, status[0]))
        return [whole]


@contextmanager
def serving(front: Any) -> Iterator[str]:
    """Serve a WSGI application on a free port, each request in a thread; gives its address."""
    web: BaseWSGIServer = make_server("127.0.0.1", 0, front, threaded=True, request_handler=_Quiet)
    web.daemon_threads = True  # type: ignore[attr-defined]  # of the threading mix-in
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_port}"
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def network_configuration(url: str, **changes: Any) -> Json:
    """A make-believe Twilio whose two numbers lead to us."""
    number = {
        "voice_url": f"{url}/channels/voice#rc=3&rp=all",
        "voice_fallback_url": f"{url}/channels/voice/fallback",
        "voice_status_url": f"{url}/channels/voice/status",
        "sms_url": f"{url}/channels/sms#rc=3&rp=all",
        "whatsapp_url": f"{url}/channels/whatsapp#rc=3&rp=all",
    }
    notice = {"twilio/text": {"body": "You have a message. Write to us to read it."}}
    if "mail" in changes:
        changes["mail"] = {"url": f"{url}/channels/email"} | changes["mail"]
    return {
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "speed": 1000,
        "calls_per_second": 100,
        "numbers": {HOTLINE: number, CALLER: number},
        "contents": [
            {"sid": NOTICE, "friendly_name": "notice", "language": "en", "types": notice, "approved": True}
        ],
        "telegram": {"token": BOT_TOKEN},
    } | changes


def settings_for(url: str, network_url: str, **changes: Any) -> Settings:
    """The settings of the world."""
    return Settings.model_validate(
        {
            "public_base_url": url,
            "twilio_account_sid": ACCOUNT,
            "twilio_auth_token": TOKEN,
            "twilio_api_base": network_url,
            "telegram_api_base": network_url,
            "twilio_sms_from": HOTLINE,
            "twilio_voice_from": CALLER,
            "twilio_calls_per_second": 50,
            "sms_per_second": 50,
            "poll_minutes": 0,
            "email_per_second": 50,
            "voiceback_flows": ROOT / "flows",
            "voiceback_locales": ROOT / "locales",
        }
        | changes
    )


@pytest.fixture(scope="session")
def real_flows() -> Library:
    """The real conversation flows."""
    return Library.open(ROOT / "flows")


@pytest.fixture(scope="session")
def real_catalogs() -> Catalogs:
    """The real translations."""
    return Catalogs.open(ROOT / "locales")


class Worlds(Protocol):
    """Puts worlds together; each is taken down at the end of the test."""

    def __call__(
        self,
        database_url: str,
        *,
        library: Library | None = None,
        network_changes: Json | None = None,
        **settings: Any,
    ) -> World:
        """The service with everything around it, on Monday, 2 March 2026, 09:00 UTC, with some settings changed."""
        ...


@pytest.fixture
def worlds(
    ring: Keyring,
    sealer: Sealer,
    real_flows: Library,
    real_catalogs: Catalogs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Worlds]:
    """For a world with settings of its own: ``worlds(sqlite_url, poll_minutes=5)``."""
    with ExitStack() as running:

        def make(
            database_url: str,
            *,
            library: Library | None = None,
            network_changes: Json | None = None,
            **settings: Any,
        ) -> World:
            database = open_database(database_url)
            running.callback(database.dispose)
            front = _Front()
            url = running.enter_context(serving(front))
            network = simulator.start(network_configuration(url, **(network_changes or {})))
            running.callback(network.stop)
            service = Service(
                settings=settings_for(url, network.url, **settings),
                database=database,
                keyring=ring,
                sealer=sealer,
                clock=FrozenClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC)),
                library=library or real_flows,
                catalogs=real_catalogs,
            )
            # A worker process opens the heart from the environment; here the jobs are handed this one.
            monkeypatch.setattr(jobs, "service", lambda: service)
            forget_doors()
            running.callback(forget_doors)
            clock = cast(FrozenClock, service.clock)
            front.world = World(
                service, clock, url, Network(network.url), create_app(service=service), tmp_path
            )
            return front.world

        yield make


@pytest.fixture
def world(worlds: Worlds, database_url: str) -> World:
    """A world as most tests want it; once on each kind of database."""
    return worlds(database_url)


@pytest.fixture
def sqlite_world(worlds: Worlds, sqlite_url: str) -> World:
    """The same on SQLite alone, for what does not depend on the database."""
    return worlds(sqlite_url)


def forget_doors() -> None:
    """Let the jobs open their channels anew."""
    jobs.doors.cache_clear()
    jobs.voice.cache_clear()
