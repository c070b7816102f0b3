"""Times as people read them: how long ago, how long left, and the hour where the worker is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Flask

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def install(app: Flask) -> None:
    """Teach the templates ``span``, ``elapsed``, ``local``, ``there`` and ``iso``."""
    app.jinja_env.filters["elapsed"] = elapsed
    app.jinja_env.filters["span"] = span
    app.jinja_env.filters["local"] = local
    app.jinja_env.filters["there"] = there
    app.jinja_env.filters["iso"] = iso


def span(length: timedelta) -> str:
    """A length of time in its two largest units: ``3 d 4 h``, ``25 min``; the sign is left to the words around."""
    seconds = int(abs(length.total_seconds()))
    parts: list[str] = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "less than 1 min"


def brief(length: timedelta) -> str:
    """A round length of time in the largest unit that divides it: ``90 s``, ``15 min``, ``4 h``, ``30 d``."""
    seconds = int(length.total_seconds())
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds and not seconds % size), (1, "s"))
    return f"{seconds // size} {unit}"


def elapsed(length: timedelta) -> str:
    """A length of time as a clock shows it: ``0:07``, ``12:30``, ``1:02:03``. Never less than nothing."""
    seconds = max(0, int(length.total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    front = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{front}:{seconds % 60:02}"


def local(at: datetime, zone: str = "UTC") -> str:
    """An instant on the wall clock of a zone, with the zone: ``2 Mar 2026, 16:05 (Asia/Jakarta)``."""
    return f"{there(at, zone)} ({_zone(zone)})"


def there(at: datetime, zone: str) -> str:
    """The same without the zone, for lists below a heading that names it."""
    wall = at.astimezone(_zone(zone))
    return f"{wall.day} {wall:%b %Y, %H:%M}"


def iso(at: datetime) -> str:
    """An instant for the ``datetime`` attribute: UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _zone(name: str) -> tzinfo:
    """The zone; UTC, which then is said, for a name that nobody knows."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
