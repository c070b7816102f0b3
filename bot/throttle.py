"""How often somebody may fail to sign in: per name that was typed, and per place that tries many names.

    a name    five failures lock it for a minute, each further one for twice as long, up to 15 minutes
    a source  is counted once per name that fails from it; 20 such names lock it in the same way

Digits by which workers prove who they are (:mod:`bot.links`) are counted here too, under limits of their own.

So a colleague who mistypes her password all morning never locks the others of her office out: she is one
name. Who signed in from a source within 30 days is not held back by its lock, whatever others try there.
The table holds keyed digests only, of names, of sources, and of the two together. All times are wall time.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.privacy.seal import Sealer
from bot.storage.tables import LoginThrottle, table
from bot.storage.types import AnyRow

FREE_FAILURES: Final = 5
FREE_NAMES: Final = 20
"""So many names may fail from one source before it is locked."""
FIRST_LOCK: Final = timedelta(seconds=60)
LONGEST_LOCK: Final = timedelta(minutes=15)
FORGIVEN_AFTER: Final = timedelta(days=1)
REGULAR_FOR: Final = timedelta(days=30)
"""So long it is remembered that a name signed in from a source."""
_IPV6_HOME: Final = 64
"""A household or an office has a whole network of this prefix (RFC 6177), so its addresses count as one."""

_throttle = table(LoginThrottle)


@dataclass(frozen=True, slots=True)
class Keys:
    """The digests under which one try is counted; without a source only its name is."""

    name: str
    source: str | None = None
    pair: str | None = None


def keys(sealer: Sealer, name: str, source: str | None) -> Keys:
    """The digests of a try. ``source`` is an IP address, or None where it is not known."""
    index = sealer.index(name, "login")
    place = _place(source)
    if place is None:
        return Keys(index)
    return Keys(
        index, sealer.index(place, "login source"), sealer.index(f"{place} {name}", "login from source")
    )


def take_try(connection: Connection, tried: Keys, now: datetime) -> timedelta | None:
    """Count a failure in advance, in the caller's write transaction; what is left of a lock if nothing may be
    tried now. :func:`forgive` takes it back when all was right."""
    left = _take_at_source(connection, tried, now)
    if left is not None:
        return left
    row = _held(connection, tried.name, now)
    if row.locked_until is not None and row.locked_until > now:
        return _left(row.locked_until, now)
    _count(connection, tried.name, row, 0, now)
    return None


def forgive(connection: Connection, tried: Keys, now: datetime) -> None:
    """All was right: the name's failures are forgotten, and it is a regular of its source."""
    if tried.source and tried.pair:
        source = _held(connection, tried.source, now)
        pair = _held(connection, tried.pair, now)
        if pair.failures and source.failures:
            _set(connection, tried.source, failures=source.failures - 1)
        _set(connection, tried.pair, failures=0, updated_at=now)
    connection.execute(delete(_throttle).where(_throttle.c.index == tried.name))


def locked_for(connection: Connection, tried: Keys, now: datetime) -> timedelta | None:
    """What is left of the lock of a name; None if it is not locked."""
    found = select(_throttle.c.locked_until).where(_throttle.c.index == tried.name)
    return _left(connection.execute(found).scalar(), now)


def is_shut(connection: Connection, index: str, now: datetime) -> bool:
    """Whether nothing may be tried under a digest now, because of what :func:`note_failure` counted."""
    found = select(_throttle.c.locked_until).where(_throttle.c.index == index)
    return _left(connection.execute(found).scalar(), now) is not None


def note_failure(connection: Connection, index: str, now: datetime, most: int, within: timedelta) -> bool:
    """Count one failure under a digest; True if it is shut from now on.

    ``most`` failures, none longer than ``within`` after the one before it, shut it for as long.
    """
    row = _held(connection, index, now)
    begins = now - row.updated_at > within or (row.locked_until is not None and row.locked_until <= now)
    failures = 1 if begins else row.failures + 1
    shut = failures >= most
    _set(connection, index, failures=failures, locked_until=now + within if shut else None, updated_at=now)
    return shut


def forget(connection: Connection, now: datetime) -> int:
    """Delete what is forgiven; how many rows."""
    failed = and_(_throttle.c.failures > 0, _throttle.c.updated_at <= now - FORGIVEN_AFTER)
    regular = and_(_throttle.c.failures == 0, _throttle.c.updated_at <= now - REGULAR_FOR)
    return connection.execute(delete(_throttle).where(or_(failed, regular))).rowcount


def lock_after(failures: int) -> timedelta | None:
    """How long a name is locked after its n-th failure in a row; None for the first four."""
    if failures < FREE_FAILURES:
        return None
    doublings = min(failures - FREE_FAILURES, 10)
    lock: timedelta = FIRST_LOCK * 2**doublings
    return min(lock, LONGEST_LOCK)


def _place(source: str | None) -> str | None:
    """What counts as one source: an IPv4 address, or the network of an IPv6 one. This machine is none: a proxy
    that hides its visitors sits there, and would make all of them one."""
    try:
        address = ipaddress.ip_address((source or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback:
        return None
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_HOME), strict=False))


def _take_at_source(connection: Connection, tried: Keys, now: datetime) -> timedelta | None:
    """Count a name that fails from a source for the first time; a regular of the source passes uncounted."""
    if not (tried.source and tried.pair):
        return None
    source = _held(connection, tried.source, now)
    known = connection.execute(select(_throttle.c.failures).where(_throttle.c.index == tried.pair)).scalar()
    if known == 0:
        return None
    left = _left(source.locked_until, now)
    if left is not None:
        return left
    if known is None:
        _count(connection, tried.source, source, FREE_NAMES - FREE_FAILURES, now)
        row = {"index": tried.pair, "failures": 1, "locked_until": None, "updated_at": now}
        connection.execute(insert(_throttle).values(row))
    return None


def _held(connection: Connection, index: str, now: datetime) -> AnyRow:
    """The row of a digest, made if it is new, locked until the end of the transaction."""
    fresh = {"index": index, "failures": 0, "locked_until": None, "updated_at": now}
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(_throttle).values(fresh).on_conflict_do_nothing())
    return connection.execute(select(_throttle).where(_throttle.c.index == index).with_for_update()).one()


def _count(connection: Connection, index: str, row: AnyRow, free: int, now: datetime) -> None:
    """One failure more, and the lock that goes with it; ``free`` failures go without."""
    failures = 1 if now - row.updated_at > FORGIVEN_AFTER else row.failures + 1
    lock = lock_after(failures - free)
    _set(
        connection,
        index,
        failures=failures,
        locked_until=now + lock if lock else None,
        updated_at=now,
    )


def _set(connection: Connection, index: str, **values: object) -> None:
    connection.execute(update(_throttle).where(_throttle.c.index == index).values(**values))


def _left(until: datetime | None, now: datetime) -> timedelta | None:
    return until - now if until is not None and until > now else None
