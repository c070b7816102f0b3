"""Composition: ``voiceback demo`` runs everything on embedded defaults, with a make-believe world; nothing else.

It starts the embedded Redis, the simulator, the web server and the workers, brings in a sample audit of
made-up people, writes where to look into ``var/demo.json``, and stops all of it in order on Ctrl-C. A
setting that is given in the environment is kept; with TWILIO_API_BASE set, no simulator is started.
"""

from __future__ import annotations

import csv
import hmac
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import click
import pyotp
from sqlalchemy import func, select

from bot import processes, queue, roster, staff
from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.callbacks import policies
from bot.callbacks.policy import Policy
from bot.errors import ConfigurationError, VoicebackError
from bot.privacy import keys
from bot.roster import Newcomer
from bot.service import Service, advance_clock, open_service, start_demo_clock
from bot.settings import Settings, load
from bot.storage.database import open_database
from bot.storage.tables import Audit, table
from channels.telegram import Telegram

VAR = Path("var")
FILE = VAR / "demo.json"
HOTLINE = "+12025550100"
CALLER = "+12025550199"
MISSED = "+12025550123"
"""A call to it is not answered but returned, so that it costs the worker nothing."""
AGENT = "+12025550142"
"""The telephone of the agent, which lies among the workers' on the phones' page."""
MAIL = "line@voiceback.example"
MAILBOX = "line"
"""Who reads it by IMAP."""
NOTICE = "HX" + "0" * 31 + "1"
"""The notice that WhatsApp of the make-believe world has approved."""
ALWAYS = "morning;lunch;afternoon;evening;night"
_START_SECONDS = 60


@dataclass(frozen=True)
class Person:
    """A made-up worker of the sample audit."""

    name: str
    number: str
    language: str
    timezone: str
    preferred_time: str
    pass_word: str
    role: str = "interviewed"
    reminder: str = ""
    """Whether she agreed to a text before the call."""


@dataclass(frozen=True)
class Visit:
    """A made-up audit of a made-up factory, some days ago."""

    ref: str
    client: str
    supplier: str
    factory: str
    country: str
    region: str
    industry: str
    days_ago: int
    people: tuple[Person, ...]


VISITS = (
    Visit(
        *("A-101", "Northwind Apparel", "Kencana Group", "Kencana Garment", "ID", "West Java", "apparel", 6),
        people=(
            Person("Siti", "+6281200000001", "id", "Asia/Jakarta", ALWAYS, "4711"),
            Person("Dewi", "+6281200000002", "id", "Asia/Jakarta", "evening", "2580", reminder="yes"),
            Person("Budi", "+6281200000003", "id", "Asia/Jakarta", "weekend;night", "1357"),
            Person("Rina", "+6281200000004", "id", "Asia/Jakarta", "lunch", "9090", "comparison"),
        ),
    ),
    Visit(
        *("A-102", "Northwind Apparel", "Golden Thread", "Golden Thread No. 2", "MM", "Yangon", "apparel", 7),
        people=(
            Person("Thiri", "+959450000001", "my", "Asia/Yangon", ALWAYS, "3141"),
            Person("Aung", "+959450000002", "my", "Asia/Yangon", "sun_morning;evening", "2718"),
            Person("Su", "+959450000003", "my", "Asia/Yangon", "weekday_evening", "1618", reminder="yes"),
        ),
    ),
    Visit(
        *("B-7", "Fjord Toys", "Blue Bay Plastics", "Blue Bay Works", "JM", "Kingston", "toys", 5),
        people=(
            Person("Grace", "+18765550123", "en", "America/Jamaica", ALWAYS, "8642"),
            Person("Marlon", "+18765550124", "en", "America/Jamaica", "evening;night", "7531"),
            Person("Keisha", "+18765550125", "en", "America/Jamaica", "afternoon", "9753", reminder="yes"),
        ),
    ),
    Visit(
        *("B-8", "Fjord Toys", "Rift Valley Crafts", "Rift Valley Workshop", "KE", "Nakuru", "toys", 2),
        people=(
            Person("Wanjiru", "+254700000001", "en", "Africa/Nairobi", "morning;evening", "6420"),
            Person("Otieno", "+254700000002", "en", "Africa/Nairobi", "weekend", "1793"),
        ),
    ),
)


def run(port: int, simulator_port: int) -> int:
    """Start everything, wait for Ctrl-C, stop everything. Gives the exit code."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    VAR.mkdir(mode=0o700, exist_ok=True)
    known = _known()
    own_world = _has_own_world()
    web, world = _free(port), _free(simulator_port)
    settings = _settings(known, web, world, (_free(8025), _free(8143)))
    service = _prepare(settings, known)
    with queue.kept(settings) as redis:
        panel = _Panel(service, known)
        children = [] if own_world else [_world(settings, known, panel, web, world)]
        children += [
            _child("cli.py", "serve", "--port", str(web)),
            _child("cli.py", "work"),
        ]
        try:
            _wait_until_ready(f"http://127.0.0.1:{web}/readyz", children, stop)
            if not stop.is_set():
                _introduce_bot(settings, world)
            _write(known | _addresses(settings, web, None if own_world else world))
            if not stop.is_set():
                _announce(known, web, None if own_world else world)
            while not stop.wait(0.5):
                redis.look()
                _complain_of_dead(children)
        finally:
            click.echo("stopping …")
            _stop(children)
            panel.stop()
    click.echo("stopped; `make demo` goes on where this ended")
    return 0


def _has_own_world() -> bool:
    return "TWILIO_API_BASE" in os.environ


def _introduce_bot(settings: Settings, world: int) -> None:
    """Tell the make-believe Telegram where our bot listens."""
    if settings.telegram_on and settings.telegram_api_base == f"http://127.0.0.1:{world}":
        Telegram(settings).set_webhook(f"{settings.public_base_url}/channels/telegram")


# --- preparing --------------------------------------------------------------------------------


def _known() -> dict[str, Any]:
    """What an earlier run made up (account, passwords), or new."""
    if FILE.exists():
        try:
            known: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
            if "twilio" in known:
                return {"telegram": _new_bot(), "mail_secret": secrets.token_urlsafe(24)} | known
        except ValueError:
            click.echo(f"{FILE} was damaged and is made anew", err=True)
    return {
        "twilio": {"account_sid": "AC" + secrets.token_hex(16), "auth_token": secrets.token_hex(16)},
        "telegram": _new_bot(),
        "mail_secret": secrets.token_urlsafe(24),
        "panel_token": secrets.token_urlsafe(24),
    }


def _new_bot() -> dict[str, str]:
    number = 10**9 + secrets.randbelow(10**9)
    return {"token": f"{number}:{secrets.token_urlsafe(26)}", "secret": secrets.token_urlsafe(24)}


def _settings(known: dict[str, Any], web: int, world: int, post: tuple[int, int]) -> Settings:
    """The demo's settings; they go to the children through the environment. What is set already wins."""
    defaults = {
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{web}",
        "TWILIO_ACCOUNT_SID": known["twilio"]["account_sid"],
        "TWILIO_AUTH_TOKEN": known["twilio"]["auth_token"],
        "TWILIO_API_BASE": f"http://127.0.0.1:{world}",
        "TWILIO_SMS_FROM": HOTLINE,
        "TWILIO_VOICE_FROM": CALLER,
        "TWILIO_MISSED_CALL": MISSED,
        "TWILIO_WHATSAPP_FROM": HOTLINE,
        "TWILIO_WHATSAPP_TEMPLATES": f"*={NOTICE}",
        "TWILIO_CALLS_PER_SECOND": "5",
        "SMS_PER_SECOND": "10",
        "LOG_LEVEL": "WARNING",
    }
    if not _has_own_world() and "TELEGRAM_API_BASE" not in os.environ:
        defaults |= {
            "TELEGRAM_BOT_TOKEN": known["telegram"]["token"],
            "TELEGRAM_WEBHOOK_SECRET": known["telegram"]["secret"],
            "TELEGRAM_API_BASE": f"http://127.0.0.1:{world}",
        }
    if not _has_own_world() and not {"SMTP_URL", "IMAP_URL"} & os.environ.keys():
        defaults |= {
            "SMTP_URL": f"smtp://127.0.0.1:{post[0]}",
            "EMAIL_FROM": MAIL,
            "IMAP_URL": f"imap://{MAILBOX}:{known['mail_secret']}@127.0.0.1:{post[1]}/INBOX",
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    return load()


def _prepare(settings: Settings, known: dict[str, Any]) -> Service:
    if not settings.voiceback_keys.exists():
        keys.write(settings.voiceback_keys, keys.generate())
    database = open_database(settings.database_url)
    database.upgrade()
    start_demo_clock(database)
    database.dispose()
    service = open_service(settings)
    for role in ("supervisor", "admin", "agent"):
        _add_person(service, known, role)
    _write(known)
    with service.database.read() as connection:
        audits = connection.execute(select(func.count()).select_from(table(Audit))).scalar_one()
    if not audits:
        report = bring_in(service, read(_sample(service.clock.now())))
        if report.rejected:
            raise VoicebackError("the sample audit was not taken in whole")
        for client in {visit.client for visit in VISITS}:
            # A phone that nobody picked up rings again an hour later, not tomorrow.
            policies.set_for_client(service, client, Policy(spacing_hours=0.9, attempts_per_day=6))
    return service


def _add_person(service: Service, known: dict[str, Any], role: str) -> None:
    if role in known:
        return
    newcomer = Newcomer(f"demo-{role}", frozenset({staff.Role(role)}), secrets.token_urlsafe(12))
    if role == staff.Role.AGENT:
        newcomer = replace(newcomer, phone=AGENT, languages=("en", "id"))
    secret = roster.add(service, newcomer)
    known[role] = {"name": newcomer.name, "password": newcomer.password, "totp_secret": secret}


def _sample(now: datetime) -> io.BytesIO:
    """The sample audits as an auditor would upload them. They never lie on the disk in clear."""
    columns = (
        *("audit_ref", "client", "supplier", "factory", "country", "region", "industry", "audit_date"),
        *("phone", "language", "preferred_time", "timezone", "channel", "pass_word", "alias", "role"),
        "reminder",
    )
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(columns)
    for visit in VISITS:
        for person in visit.people:
            day = now.astimezone(ZoneInfo(person.timezone)).date() - timedelta(days=visit.days_ago)
            rows.writerow(
                (
                    *(visit.ref, visit.client, visit.supplier, visit.factory),
                    *(visit.country, visit.region, visit.industry, day.isoformat()),
                    *(person.number, person.language, person.preferred_time, person.timezone),
                    *("voice", person.pass_word, person.name, person.role),
                    person.reminder,
                )
            )
    return io.BytesIO(text.getvalue().encode())


# --- the make-believe world -------------------------------------------------------------------


def _world(
    settings: Settings, known: dict[str, Any], panel: _Panel, web: int, port: int
) -> subprocess.Popen[bytes]:
    base = settings.public_base_url
    token = {"X-Demo-Token": known["panel_token"]}
    config = {
        "account_sid": settings.twilio_account_sid,
        "auth_token": settings.twilio_auth_token.get_secret_value(),
        "calls_per_second": 10,
        "numbers": {
            number: {
                "voice_url": f"{base}/channels/voice#rc=3&rp=all",
                "voice_fallback_url": f"{base}/channels/voice/fallback",
                "voice_status_url": f"{base}/channels/voice/status",
                "sms_url": f"{base}/channels/sms#rc=3&rp=all",
                "whatsapp_url": f"{base}/channels/whatsapp#rc=3&rp=all" if number == HOTLINE else None,
            }
            for number in (HOTLINE, CALLER, MISSED)
        },
        "contents": [
            {
                "sid": NOTICE,
                "friendly_name": "notice",
                "language": "en",
                "types": {"twilio/text": {"body": "You have a message. Write to us to read it."}},
                "approved": True,
            }
        ],
        "telegram": {"token": settings.telegram_bot_token.get_secret_value(), "name": "Worker line"}
        if settings.telegram_on
        else None,
        "mail": _post_office(settings),
        "handsets": [
            {
                "number": person.number,
                "name": f"{person.name} ({visit.factory})",
                "language": person.language,
                "note": f"made up; code {person.pass_word}; wants: {person.preferred_time}; {person.timezone}",
                "pass_word": person.pass_word,
                "script": "manual",
            }
            for visit in VISITS
            for person in visit.people
        ]
        + [
            {
                "number": AGENT,
                "name": "Agent of the hotline",
                "language": "en",
                "note": "rings when a worker asks for a person and the agent is available; 1 takes the call",
                "script": "manual",
            }
        ],
        "actions": [
            {"label": "+1 hour", "url": f"{panel.url}/clock", "headers": token, "form": {"hours": "1"}},
            {"label": "+8 hours", "url": f"{panel.url}/clock", "headers": token, "form": {"hours": "8"}},
            {"label": "+1 day", "url": f"{panel.url}/clock", "headers": token, "form": {"hours": "24"}},
            *(
                {"label": label, "url": f"{panel.url}/code", "headers": token, "form": {"role": role}}
                for label, role in (("Sign-in code", "supervisor"), ("Agent's code", "agent"))
            ),
        ],
        "links": [
            {"label": "Supervisor's page", "url": f"http://127.0.0.1:{web}/console/"},
            {"label": "Agent's page", "url": f"http://127.0.0.1:{web}/console/agent"},
        ],
    }
    # The make-believe world is not ours: what it knows lies in a folder of its own.
    folder = VAR / "simulator"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "config.json"
    _private_write(path, json.dumps(config, indent=1))
    return _child(
        *("-m", "simulator", "--config", str(path), "--port", str(port)),
        *("--state", str(folder / "state.json")),
    )


def _post_office(settings: Settings) -> dict[str, Any] | None:
    """The make-believe post and the hotline's mailbox, unless mail goes to real servers."""
    sending = urlsplit(settings.smtp_url.get_secret_value())
    reading = urlsplit(settings.imap_url.get_secret_value())
    if {sending.hostname, reading.hostname} != {"127.0.0.1"} or reading.username != MAILBOX:
        return None
    return {
        "address": MAIL,
        "port": sending.port,
        "imap_user": reading.username,
        "imap_password": reading.password,
        "imap_port": reading.port,
    }


class _Panel:
    """The buttons of the phone page that move time and show a sign-in code. Only the demo has them."""

    def __init__(self, service: Service, known: dict[str, Any]) -> None:
        self._service = service
        self._known = known
        panel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                given = self.headers.get("X-Demo-Token", "")
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0) or 0), 4096))
                if not hmac.compare_digest(given, known["panel_token"]):
                    self.send_error(403)
                    return
                answer = json.dumps({"message": panel.press(self.path, body.decode())}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the simulator reaches the panel."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def press(self, path: str, body: str) -> str:
        """Do what a button says; gives a sentence for the page."""
        if path == "/clock":
            hours = int(parse_qs(body).get("hours", ["0"])[0])
            now = advance_clock(self._service, timedelta(hours=hours))
            return f"It is now {now:%A %H:%M} UTC in the demo."
        role = "agent" if "agent" in parse_qs(body).get("role", []) else "supervisor"
        code = pyotp.TOTP(self._known[role]["totp_secret"]).now()
        return f"Sign in as {self._known[role]['name']} with the code {code} (works once)."

    def stop(self) -> None:
        """Close the panel."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


# --- processes --------------------------------------------------------------------------------


def _child(*arguments: str) -> subprocess.Popen[bytes]:
    return processes.start(_in_checkout(arguments))


def _in_checkout(arguments: tuple[str, ...]) -> list[str]:
    here = Path(__file__).parent
    return [str(here / word) if word == "cli.py" else word for word in arguments]


def _free(port: int) -> int:
    """``port`` if nobody has it, else another one."""
    for candidate in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            if candidate == 0:
                click.echo(f"port {port} is taken; using {found}", err=True)
            return found
    raise ConfigurationError("no port is free on 127.0.0.1")


def _wait_until_ready(url: str, children: list[subprocess.Popen[bytes]], stop: threading.Event) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not stop.is_set():
        if any(child.poll() is not None for child in children):
            raise ConfigurationError("a part of the demo ended while it started; see above")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
                if answer.status == 200:
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise ConfigurationError("the web server did not become ready within a minute")
        stop.wait(0.1)


def _complain_of_dead(children: list[subprocess.Popen[bytes]]) -> None:
    if any(child.poll() is not None for child in children):
        raise ConfigurationError("a part of the demo ended; see above")


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    # The world goes last, so that what is under way can still end well.
    for child in reversed(children):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


# --- telling ----------------------------------------------------------------------------------


def _addresses(settings: Settings, web: int, world: int | None) -> dict[str, Any]:
    base = f"http://127.0.0.1:{web}"
    return {
        "web": base,
        "console": f"{base}/console/",
        "phones": f"http://127.0.0.1:{world}/" if world else None,
        "hotline": HOTLINE,
        "caller": CALLER,
        "missed_call": MISSED,
        # Where a worker writes to, and what the demo set to send and read mail.
        "whatsapp": HOTLINE,
        "mail": settings.email_from,
        "smtp_url": settings.smtp_url.get_secret_value(),
        "imap_url": settings.imap_url.get_secret_value(),
    }


def _write(known: dict[str, Any]) -> None:
    _private_write(FILE, json.dumps(known, indent=1))


def _private_write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _announce(known: dict[str, Any], web: int, world: int | None) -> None:
    person, agent = known["supervisor"], known["agent"]
    lines = [
        "",
        "Voiceback is running. Everything here is made up; nobody is called.",
        "",
        f"  Phones of the workers   http://127.0.0.1:{world}/" if world else "",
        f"  Supervisor's page       http://127.0.0.1:{web}/console/",
        f"      name      {person['name']}",
        f"      password  {person['password']}",
        "      code      the button 'Sign-in code' on the phones' page, or an authenticator with the secret",
        f"                {person['totp_secret']}",
        f"  Agent's page            http://127.0.0.1:{web}/console/agent (in another browser or a private window)",
        f"      name      {agent['name']}",
        f"      password  {agent['password']}",
        "      code      the button 'Agent's code' on the phones' page",
        "",
        "  A phone rings within seconds, for 40 seconds. Answer it, press 1, key the code from its note and #,",
        "  and go on. Missed it? Press '+1 hour', and whoever it was is called again.",
        "  To talk: be available on the agent's page, call the hotline from a worker's phone, choose the language",
        "  and press 0; then the agent's telephone rings, among the phones.",
        "  Time: the buttons on the phones' page, or `.venv/bin/voiceback clock advance 8h`.",
        f"  All addresses and sign-ins: {FILE}",
        "",
        "  Ctrl-C stops everything.",
        "",
    ]
    click.echo("\n".join(line for line in lines if line is not None))
