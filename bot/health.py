"""Whether this process can do its work, and each thing that it depends on."""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from bot import alerts, incidents, queue, tick
from bot.errors import ConfigurationError
from bot.incidents import IncidentKind
from bot.service import Service


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency. ``needed`` ones decide about readiness; the others only say that something is amiss."""

    name: str
    ok: bool
    needed: bool
    why: str = ""

    def as_data(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {"name": self.name, "ok": self.ok, "needed": self.needed, "why": self.why}


def checks(service: Service) -> list[Check]:
    """Ask every dependency now.

    Only the database is needed to take messages in: without Redis or the clock nothing is lost, it waits.
    """
    database = _database(service)
    if not database.ok:
        return [database, _redis(service)]
    return [database, _redis(service), _clock(service), _flows(service)]


def _database(service: Service) -> Check:
    try:
        # A write, because a full disk lets everything else pass.
        tick.alive(service, "web")
        service.database.check_schema()
    except SQLAlchemyError as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        return Check("database", ok=False, needed=True, why=f"cannot be written to ({kind})")
    except ConfigurationError as error:
        return Check("database", ok=False, needed=True, why=str(error))
    return Check("database", ok=True, needed=True)


def _redis(service: Service) -> Check:
    try:
        with queue.connect(service.settings) as connection:
            connection.ping()
    except (ConfigurationError, RedisError, OSError):
        return Check(
            "redis",
            ok=False,
            needed=False,
            why="cannot be reached: messages are kept, calls and replies wait",
        )
    return Check("redis", ok=True, needed=False)


def _clock(service: Service) -> Check:
    with service.database.read() as connection:
        silent = alerts.clock_silence(connection)
    if silent is not None and silent <= alerts.CLOCK_STOPPED:
        return Check("clock", ok=True, needed=False)
    told = "has never beaten" if silent is None else f"has not beaten for {int(silent.total_seconds())} s"
    return Check(
        "clock", ok=False, needed=False, why=f"{told}: `voiceback work` is not running, so nobody is called"
    )


def _flows(service: Service) -> Check:
    with service.database.read() as connection:
        broken = [
            subject
            for kind, subject, *_ in incidents.unresolved(connection)
            if kind == IncidentKind.FLOW_FILE
        ]
    if broken:
        return Check(
            "flows", ok=False, needed=False, why=f"broken, the last good one is used: {', '.join(broken)}"
        )
    return Check("flows", ok=True, needed=False)
