"""Where plots are played: the company of processes, what they stand on, and time that is moved by hand."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from redis import Redis
from sqlalchemy import func, select

from app import create_app
from bot.clock import wall_time
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.messages import Channel
from bot.privacy import keys
from bot.privacy.seal import Sealer
from bot.queue import EmbeddedRedis
from bot.service import Service
from bot.settings import Settings
from bot.storage import tables
from bot.storage.database import Database, open_database
from bot.storage.tables import table
from channels import jobs
from channels.delivery import MOST_BLIND_TRIES
from simulator.config import parse_config
from simulator.server import serve as simulate
from tests.faults import promises
from tests.faults.cast import (
    CLOCK,
    ROLES,
    WORKER,
    Company,
    Part,
    SharedClock,
    end,
    fork,
    open_door,
    rehearse,
    settle_down,
    start,
    wait_for,
)
from tests.faults.tap import Point
from tests.journeys.talking import line_flows
from tests.journeys.world import ROOT, Network, age, forget_doors, network_configuration, settings_for
from tests.ports import free_port
from tests.postgres import Postgres

if TYPE_CHECKING:
    from tests.faults.plots import Plot

ZONE = ZoneInfo("Asia/Jakarta")
EVENING = datetime(2026, 3, 2, 11, 1, tzinfo=UTC)
"""When every plot begins: a minute after six on a Monday evening in Jakarta."""
STEPS = (1, 20, 65)
"""Seconds that go by between two turns: short of all leases first, and beyond them afterwards. Each act has at least
so many turns; from the last step on it is the last."""
MOST_TURNS = 60
LINE = "line@voiceback.example"
MAIL_SECRET = "the-secret-of-the-post"
_NAME = "crashes"
_TEMPLATE = "crashes_template"


class Base:
    """An empty database, brought back to the state of a plot's beginning again and again."""

    def __init__(self, folder: Path, server: Postgres | None) -> None:
        self._folder = folder
        self._server = server
        self._kept = folder / "template.db"
        if server:
            self.url = server.create(_NAME)
        else:
            self.url = f"sqlite:///{folder / 'voiceback.db'}"
        self.database = open_database(self.url)
        self.database.upgrade()

    def keep(self) -> None:
        """The state as it is now is the one to come back to."""
        self.database.dispose()
        if self._server:
            self._server.create(_TEMPLATE, _NAME)
        else:
            shutil.copy(self._folder / "voiceback.db", self._kept)

    def drop(self) -> None:
        """It is not needed any more."""
        self.database.dispose()
        if self._server:
            self._server.drop(_NAME)
            self._server.drop(_TEMPLATE)

    def bring_back(self) -> None:
        """Come back to what was kept. Nobody is connected."""
        self.database.dispose()
        if self._server:
            self._server.drop(_NAME)
            self._server.create(_NAME, _TEMPLATE)
            return
        for rest in ("-wal", "-shm"):
            (self._folder / f"voiceback.db{rest}").unlink(missing_ok=True)
        shutil.copy(self._kept, self._folder / "voiceback.db")


@dataclass
class Stage:
    """One plot's stage."""

    folder: Path
    plot: Plot
    service: Service
    clock: SharedClock
    network: Network
    base: Base
    redis: Redis
    company: Company
    texts: list[str] = field(default_factory=list)
    """The provider's ids of what workers wrote."""
    mails: int = 0
    """How many mails workers wrote."""
    moves: list[tuple[datetime, timedelta]] = field(default_factory=list)
    """Since when (wall time) the service's clock was ahead by how much."""
    _roles: dict[str, Part] = field(default_factory=dict)
    _somebody_dies: bool = False

    @property
    def database(self) -> Database:
        """The service's."""
        return self.base.database

    # --- one performance -----------------------------------------------------------------------

    def play(self, victim: str = "", fatal: Point | None = None) -> list[str]:
        """From the beginning until everything is done; gives what was broken. At the ``fatal`` point its ``victim``
        is killed, once, and another process takes its place.
        """
        self._reset()
        self._somebody_dies = fatal is not None
        for role in ROLES:
            self._start(role, fatal if role == victim else None)
        broken = self._perform()
        # Whoever is kept waiting by a crash may have hung up: then less comes of it.
        return [*broken, *self._too_little()] if self.plot.in_any_case or not fatal else broken

    def rehearse(self) -> list[str]:
        """The same with all roles in this process, and nobody killed."""
        self._reset()
        self._somebody_dies = False
        for role in ROLES:
            self._roles[role] = rehearse(role, self.company)
        return [*self._perform(), *self._too_little()]

    def _perform(self) -> list[str]:
        try:
            self._go_on(to_the_end=not self.plot.acts)
            for act in self.plot.acts:
                act(self)
                self._go_on(to_the_end=act is self.plot.acts[-1])
            return self._judge()
        finally:
            self.clear()

    def clear(self) -> None:
        """End all roles."""
        for role in self._roles.values():
            role.end()
        self._roles.clear()

    def _reset(self) -> None:
        self.network.post("/sim/reset")
        self.network.post("/sim/chaos", dict(self.plot.chaos))
        self.base.bring_back()
        self.redis.flushall()
        self.company.trace.unlink(missing_ok=True)
        self.texts.clear()
        self.mails = 0
        self.moves.clear()
        self._go_to(EVENING)
        if self.plot.people:
            self.network.post("/sim/handsets", self.plot.people)

    def _start(self, role: str, fatal: Point | None) -> None:
        self.database.dispose()
        self._roles[role] = start(role, self.company, fatal)

    def _go_on(self, *, to_the_end: bool) -> None:
        """Turn after turn, while time goes by, until nothing is left to do."""
        calm = 0
        for _ in range(MOST_TURNS):
            is_busy = self._turn()
            if not self._is_at_rest():
                # Somebody who waits in the line keeps the network busy: then it is soon time for the next beat.
                self.pass_time(STEPS[0])
                continue
            if calm >= len(STEPS) and not is_busy and not (to_the_end and list(self._open())):
                return
            self.pass_time(STEPS[min(calm, len(STEPS) - 1)])
            calm += 1

    def _turn(self) -> bool:
        """The clock and the worker take their turns; gives whether there was anything to do, or somebody died.

        That texts are asked for which nobody brought does not count: it never ends.
        """
        done = [self._order(CLOCK), self._order(WORKER)]
        return None in done or (any(done) and not self.service.settings.poll_minutes)

    def _is_at_rest(self) -> bool:
        waited = self.network.get("/sim/wait", timeout=0.1 if self.plot.talks else 20)
        return bool(waited["met"])

    def _order(self, name: str) -> int | None:
        done = self._roles[name].order()
        if done is None:
            self._roles[name].end()
            self._start(name, None)
        return done

    def _go_to(self, instant: datetime) -> None:
        self.clock.set(instant)
        self.moves.append((wall_time(), instant - wall_time()))

    def pass_time(self, seconds: float) -> None:
        """Let time go by: here, on the wall, and at the provider."""
        by = timedelta(seconds=seconds)
        self._go_to(self.clock.now() + by)
        age(self.database, by)
        self.network.post("/sim/age", seconds=seconds)

    def go_to(self, instant: datetime) -> None:
        """Let time go by until the service's clock stands there; nothing if it is later already."""
        self.pass_time(max(0.0, (instant - self.clock.now()).total_seconds()))

    # --- what became of it ---------------------------------------------------------------------

    def _evidence(self) -> promises.Evidence:
        return promises.gather(self, self.texts, self.moves, self.plot.hours, ZONE)

    def _open(self) -> Iterator[str]:
        """What is left to do."""
        transfer = table(tables.Transfer)
        with self.database.read() as connection:
            waiting = connection.execute(
                select(func.count()).select_from(transfer).where(transfer.c.state != "ended")
            ).scalar_one()
        if waiting:
            yield f"{waiting} callers are in the line"
        yield from promises.undone(self._evidence())

    def _judge(self) -> list[str]:
        seen = self._evidence()
        return [*promises.broken(seen), *self._open(), *self._sent_twice(), *self._lost_mails()]

    def _sent_twice(self) -> Iterator[str]:
        state = self.network.get("/sim/state", parts="messages,deleted")
        asked = Counter(
            each["status_callback"]
            for each in state["messages"] + state["deleted"]
            if each["status_callback"]
        )
        for url, count in asked.items():
            if count > 1:
                yield f"message {urlsplit(url).query} was sent {count} times"
        for url, count in Counter(self._rings()).items():
            if count > 1:
                yield f"an agent was rung {count} times for one ring ({url})"

        # Who died in between cannot ask these providers what they took: then a question may come a second time.
        most = MOST_BLIND_TRIES if self._somebody_dies else 1
        for text, count in Counter(self._came_blindly()).items():
            if count > most:
                yield f"a text of {len(text)} letters came {count} times"

    def _came_blindly(self) -> Iterator[str]:
        """What came to workers by Telegram and by mail."""
        for account in self.network.get("/sim/telegram")["accounts"]:
            yield from (each["text"] for each in account["messages"] if not each["mine"])
        if self.plot.mail:
            for box in self.network.get("/sim/mail")["boxes"].values():
                yield from (each["text"] for each in box if not each["mine"])

    def _lost_mails(self) -> Iterator[str]:
        message = table(tables.Message)
        came = (message.c.direction == "in", message.c.channel == Channel.EMAIL)
        with self.database.read() as connection:
            stored = connection.execute(select(func.count()).select_from(message).where(*came)).scalar_one()
        if stored != self.mails:
            yield f"{self.mails} mails were written, {stored} are stored"

    def _rings(self) -> list[str]:
        """Where the calls to agents lead."""
        urls = [call["request"]["Url"][0] for call in self.network.calls() if call.get("request")]
        return [url for url in urls if "/voice/agent/" in url]

    def _too_little(self) -> Iterator[str]:
        seen = self._evidence()
        made = {
            "calls": sum(each.disposition is not None for each in seen.attempts.values()),
            "texts": seen.outbox["sent"],
            "rings": len(self._rings()),
        }
        for what, least in self.plot.least.items():
            if made[what] < least:
                yield f"only {made[what]} {what} came of it"


@contextmanager
def stage(plot: Plot, server: Postgres | None = None) -> Iterator[Stage]:
    """A stage for one plot, on SQLite or on a database of ``server``."""
    with ExitStack() as after:
        folder = Path(after.enter_context(tempfile.TemporaryDirectory(prefix="vb-stage-")))
        redis = after.enter_context(EmbeddedRedis.start(folder / "redis"))
        door = after.enter_context(open_door())
        base = Base(folder, server)
        after.callback(base.drop)
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        post = free_port()
        network = Network(_network(plot, url, post, after))
        clock = SharedClock()
        clock.set(EVENING)
        stands_on = {"database_url": base.url, "redis_url": redis.url} | (
            _mail_settings(post) if plot.mail else {}
        )
        settings = settings_for(url, network.url, **stands_on, **plot.settings)
        service = _service(plot, settings, base.database, clock, folder)
        company = Company(service, create_app(service=service), door, folder / "trace")
        made = Stage(folder, plot, service, clock, network, base, redis.connection, company)
        plot.prepare(made)
        base.keep()
        # A process opens the heart from its environment; here it is handed this one.
        after.callback(setattr, jobs, "service", jobs.service)
        jobs.service = lambda: service  # type: ignore[assignment]  # which has a cache that nobody asks for here
        forget_doors()
        if broken := made.rehearse():
            raise RuntimeError(f"{plot.name}, rehearsed: {'; '.join(broken)}")
        settle_down()
        yield made


def _service(plot: Plot, settings: Settings, database: Database, clock: SharedClock, folder: Path) -> Service:
    ring = keys.generate()
    return Service(
        settings=settings,
        database=database,
        keyring=ring,
        sealer=Sealer(ring),
        clock=clock,
        library=line_flows(folder) if plot.in_line else Library.open(ROOT / "flows"),
        catalogs=Catalogs.open(ROOT / "locales"),
    )


def _mail_settings(post: int) -> dict[str, str]:
    return {"smtp_url": f"smtp://127.0.0.1:{post}", "email_from": LINE, "email_webhook_secret": MAIL_SECRET}


def _network(plot: Plot, url: str, post: int, after: ExitStack) -> str:
    """Start the make-believe provider as a process; gives its address. Its post, if any, listens at ``post``."""
    mail = {"mail": {"address": LINE, "secret": MAIL_SECRET, "port": post}} if plot.mail else {}
    written = network_configuration(url, speed=50 if plot.talks else 1000, **mail)
    if plot.no_retries:
        for number in written["numbers"].values():
            number.update({name: value.replace("#rc=3&rp=all", "#rc=0") for name, value in number.items()})
    port = free_port()
    child = fork(lambda: asyncio.run(simulate(parse_config(written), "127.0.0.1", port, None)))
    after.callback(end, child)
    wait_for(port)
    return f"http://127.0.0.1:{port}"
