"""Hours of work of many factories by upload: one shift a row, CSV or XLSX.

    client,factory,country,days,from,until,valid_from,valid_until
    Northwind Apparel,Kencana Garment,ID,mon-fri,07:00,16:00,,
    Northwind Apparel,Kencana Garment,ID,sat,07:00,12:00,2026-03-01,

The rows of a factory together take the place of the shifts that it had; a row of a factory with neither ``from``
nor ``until`` says that it has none. A factory with a row that cannot be read stays as it was, because half a
calendar would let people be called at work. No message holds what was in a cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Final, TypeVar, cast

from sqlalchemy import Connection

from bot.audits import factories, places
from bot.audits.sheet import Line, Unreadable, lines, refuse_size
from bot.audits.upload import Header, RowError, columns_of, plain_name
from bot.callbacks import requests
from bot.callbacks.plan import Planned, plan
from bot.callbacks.shifts import KEYS, MOST, WEEK, Shift, from_list, to_list
from bot.errors import FileRejected, InputError
from bot.service import Service

T = TypeVar("T")

REQUIRED: Final = ("client", "factory", "from", "until")
COLUMNS: Final = (*REQUIRED, "country", "days", "valid_from", "valid_until")
MOST_PLANNED: Final = 2000
"""Callbacks whose new plan a preview looks at."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a shift of a factory, or that the factory has none, or what is wrong with the row."""

    line: int
    client: str | None = None
    factory: str | None = None
    country: str | None = None
    shift: Shift | None = None
    error: RowError | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The shifts that an upload states for one factory."""

    factory_id: str
    factory: str
    client: str
    country: str
    shifts: tuple[Shift, ...]
    former: tuple[Shift, ...]
    """Those that it has now."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a calendar does to the workers of its factory whose calls are planned."""

    calendar: Calendar
    callbacks: int
    moved: int
    """Of these, how many would be called at another time."""
    lost: int
    """How many would not be called any more, because no window of theirs is left."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What was read: whole calendars, what is wrong with the rows of other factories, and remarks on the header."""

    calendars: tuple[Calendar, ...]
    errors: tuple[RowError, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out but columns that nobody knows."""
        return all(error.code == "unknown_column" for error in self.errors)

    def as_data(self) -> dict[str, object]:
        """Plain data for JSON; what is wrong holds no values."""
        return {
            "factories": [
                {
                    "factory": each.factory,
                    "client": each.client,
                    "shifts": [shift.words() for shift in each.shifts],
                    "former": [shift.words() for shift in each.former],
                }
                for each in self.calendars
            ],
            "errors": [
                {"line": e.line, "column": e.column, "code": e.code, "message": e.message}
                for e in self.errors
            ],
        }


# --- reading ----------------------------------------------------------------------------------


def read(source: Path | IO[bytes]) -> list[Entry]:
    """The rows of an upload, in the order of the file. Raises :class:`FileRejected` if it cannot be read at all or
    lacks a required column."""
    if isinstance(source, Path):
        try:
            refuse_size(source.stat().st_size)
            source = io.BytesIO(source.read_bytes())
        except OSError as error:
            raise FileRejected("The file cannot be opened.", code="file_missing") from error
    found = lines(source)
    header = next(found, None)
    if not isinstance(header, Line):
        raise FileRejected("The first line is not a row of column names.", code="header")
    known, remarks = columns_of(header, COLUMNS, REQUIRED)
    return [Entry(each.line, error=each) for each in remarks] + [_entry(line, known) for line in found]


def _entry(line: Line | Unreadable, header: Header) -> Entry:
    if isinstance(line, Unreadable):
        return Entry(line.number, error=RowError(line.number, None, line.code, line.message))
    cells = {
        name: " ".join(line.cells[n].split()) for n, name in header.columns.items() if n < len(line.cells)
    }
    return _Reader(line.number, cells).read()


class _Reader:
    """Reads one line, and stops at the first thing that is wrong with it."""

    def __init__(self, number: int, cells: dict[str, str]) -> None:
        self._number = number
        self._cells = cells
        self._error: RowError | None = None

    def read(self) -> Entry:
        """The row."""
        client, factory = self._take("client", plain_name), self._take("factory", plain_name)
        country = self._take("country", places.country) if self._cells.get("country") else None
        works = self._cells.get("from") or self._cells.get("until")
        shift = self._take("from", lambda _: self._shift()) if works else None
        return Entry(self._number, client, factory, country, shift, self._error)

    def _take(self, column: str, read_cell: Callable[[str], T]) -> T | None:
        try:
            return read_cell(self._cells.get(column, ""))
        except InputError as error:
            told = str(error).removeprefix("shift 1: ")
            named = next((name for name in COLUMNS if told.startswith(f"{name} ")), column)
            found = RowError(self._number, named, error.code, f"{told[:1].upper()}{told[1:]}")
            self._error = self._error or found
            return None

    def _shift(self) -> Shift:
        """Raises :class:`InputError` that begins with the name of the column."""
        entry: dict[str, object] = {
            "days": _days(self._cells.get("days", "")),
            "from": self._cells.get("from", ""),
            "until": self._cells.get("until", ""),
        }
        valid = ("valid_from", "valid_until")
        return from_list([entry | {key: self._cells[key] for key in valid if self._cells.get(key)}])[0]


def _days(text: str) -> list[str]:
    """Days as ``mon-fri``, ``sat, sun`` or full names; nothing is every day."""
    words = re.findall(r"\w+|-", text.casefold().replace("–", "-"))
    found: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if word == "-" and found:
            continue
        if word[:3] not in WEEK:
            raise InputError("days are written like mon-fri, or sat sun.", code="days")
        here = WEEK.index(word[:3])
        first = WEEK.index(found[-1]) if before == "-" else here
        found += [WEEK[(first + step) % 7] for step in range((here - first) % 7 + 1)]
    return list(dict.fromkeys(found)) or list(WEEK)


def write(calendars: Iterable[Calendar]) -> str:
    """Calendars as a file that :func:`read` takes."""
    out = io.StringIO()
    rows = csv.DictWriter(out, ("client", "factory", "country", *KEYS), lineterminator="\n")
    rows.writeheader()
    for each in calendars:
        place = {"client": each.client, "factory": each.factory, "country": each.country}
        for shift in to_list(each.shifts) or [{}]:
            days = " ".join(map(str, cast("list[str]", shift.get("days", []))))
            rows.writerow(place | shift | {"days": days})
    return out.getvalue()


# --- what it means ----------------------------------------------------------------------------


def gather(connection: Connection, entries: Iterable[Entry]) -> Upload:
    """The calendars that an upload states, with those that the factories have now. Reads only.

    Where a row does not tell its factory, no calendar is whole, and none is given.
    """
    given: dict[tuple[str, str, str | None], list[Entry]] = {}
    errors, lost = [], False
    for each in entries:
        if each.error is not None:
            errors.append(each.error)
        if each.client and each.factory:
            given.setdefault((each.client, each.factory, each.country), []).append(each)
        else:
            lost = lost or each.error is None or each.error.code != "unknown_column"
    calendars = []
    for rows in given.values():
        found = _calendar(connection, rows)
        if isinstance(found, Calendar):
            calendars.append(found)
        elif found is not None:
            errors.append(found)
    errors.sort(key=lambda error: error.line)
    return Upload(() if lost else tuple(calendars), tuple(errors))


def _calendar(connection: Connection, rows: list[Entry]) -> Calendar | RowError | None:
    """The calendar of one factory, or what is wrong with it; None if one of its rows was told to be wrong."""
    first = rows[0]
    shifts = [each.shift for each in rows if each.shift is not None]
    if any(each.error for each in rows):
        return None
    if len(shifts) > MOST:
        return RowError(first.line, None, "shifts", f"A factory has at most {MOST} shifts.")
    if shifts and len(shifts) < len(rows):
        told = "One row says that the factory has no shifts, and others state some."
        return RowError(first.line, "from", "shifts", told)
    found = factories.named(connection, first.client or "", first.factory or "", first.country)
    if len(found) != 1:
        code = "many" if found else "unknown_factory"
        told = "Several factories have this name; give the country." if found else _UNKNOWN
        return RowError(first.line, "factory", code, told)
    (place,) = found
    return Calendar(place.id, place.name, place.client, place.country, tuple(shifts), place.shifts)


_UNKNOWN: Final = "The client has no such factory. Factories come with their first audit."


def effects(
    connection: Connection, calendars: Iterable[Calendar], now: datetime
) -> tuple[list[Effect], bool]:
    """What calendars would do to the calls that are planned, and whether all of those were looked at. Reads only."""
    found, left = [], MOST_PLANNED
    for each in calendars:
        ids = factories.scheduled(connection, each.factory_id)
        looked = ids[:left]
        left -= len(looked)
        moved, lost = _moved(connection, looked, each, now)
        found.append(Effect(each, len(ids), moved, lost))
    return found, left > 0


def _moved(connection: Connection, ids: list[str], calendar: Calendar, now: datetime) -> tuple[int, int]:
    moved = lost = 0
    for callback_id in ids:
        known = requests.read(connection, callback_id, now)
        verdict = plan(replace(known.request, shifts=calendar.shifts), known.policy, now)
        if not isinstance(verdict, Planned):
            lost += 1
        elif verdict.due_at != max(known.row.due_at, now):
            moved += 1
    return moved, lost


def bring_in(service: Service, upload: Upload, *, by: str | None = None) -> int:
    """Keep the calendars that were read and plan the calls of their workers anew; gives how many callbacks were
    planned anew. ``by`` is the member of staff, None the command line."""
    return sum(factories.keep(service, each.factory_id, each.shifts, by=by) for each in upload.calendars)
