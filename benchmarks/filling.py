"""A database as it is after years: callbacks that are over, their talks with ten messages each, and some cases.

Rows are made in bulk and not by the flows, but addresses, sessions and messages are sealed as real ones are, and ids tell
the time as real ones do. One callback a minute: half a million a year. More of them is a longer history, not a busier week.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Table, insert, select

from benchmarks.bulk import Into, Value, instant, prepared_for, putting
from bot import tally
from bot.callbacks.plan import GiveUp
from bot.callbacks.states import CallbackState
from bot.clock import wall_time
from bot.ids import new_id
from bot.messages import Address, AddressKind
from bot.privacy import keys
from bot.privacy.seal import Sealer
from bot.rates import Outcome
from bot.service import Service
from bot.storage import tables
from bot.storage.database import Database
from bot.storage.tables import table
from bot.tally import What

MESSAGES = 10
"""Of each callback's talk."""
EVERY = timedelta(minutes=1)
"""A callback of the history in so much time."""
CLIENTS = 20
_FACTORY = 60
"""Callbacks of a factory."""
_CASE = 100
"""One callback in so many became a case; of these one in ten is open."""
PLANNED = 20
"""One callback in so many is planned for another day."""
_WRITTEN = 10
"""One talk in so many was in writing."""
_AT_ONCE = 1000
_MANY = 50_000
"""From so many callbacks on, processes of their own make the rows; before, starting them costs more."""
_FIRST = 628_500_000_000
_WORDS = "They cut our pay in the week after the visit, and nobody tells us why."
_LINE = "+12025550199"
_GIVEN_UP = (GiveUp.ATTEMPTS_USED, GiveUp.PERIOD_OVER, GiveUp.WRONG_NUMBER)


_Counts = Counter[tuple[date, str, str, str]]


class _Columns(NamedTuple):
    """A table with the columns that are filled; the others keep their defaults."""

    table: Table
    names: tuple[str, ...]


def _columns(row: type[tables.Row], names: str) -> _Columns:
    return _Columns(table(row), tuple(names.split()))


_FACTORIES = _columns(tables.Factory, "id client_id name country")
_AUDIT = _columns(tables.Audit, "id client_id factory_id ref audit_date card_code created_at")
_CONTACT = _columns(tables.Contact, "id language timezone country created_at")
_ADDRESS = _columns(tables.AddressRow, "id kind index stop_index sealed country created_at")
_KNOWN = _columns(tables.ContactAddress, "contact_id address_id how created_at")
_MEMBER = _columns(
    tables.CohortMember,
    "id row_key digest audit_id contact_id address_id role preference channel created_at updated_at",
)
_CALLBACK = _columns(
    tables.Callback,
    "id contact_id address_id cohort_member_id audit_id kind round followed tallied channel language timezone country "
    "preference first_day last_day state due_at window_end give_up_reason attempts created_at updated_at",
)
_ATTEMPT = _columns(
    tables.Attempt,
    "id callback_id n channel state disposition call_id provider_rank due_at window_end lease_until tallied claimed_at "
    "asked_at placed_at answered_at ended_at settled_at",
)
_TALK = _columns(
    tables.Conversation,
    "id address_id contact_id attempt_id audit_id channel call_id line flow revision language state outcome version "
    "session_sealed sprint heard_at started_at updated_at",
)
_MESSAGE = _columns(
    tables.Message,
    "id conversation_id address_id channel direction event_id body_sealed provider_id status created_at",
)
_OUTBOX = _columns(
    tables.Outbox, "id kind message_id address_id channel state due_at lease_until tries created_at"
)
_CONSENT = _columns(tables.Consent, "id conversation_id scope given created_at")
_CASES = _columns(
    tables.Case,
    "id reference conversation_id contact_id audit_id client_id factory_id category severity state language received_at "
    "review_due_at safety_due_at updated_at version",
)
_GRIEVANCE = _columns(
    tables.Grievance, "id case_id conversation_id question category severity indicators created_at tallied"
)
_EVENT = _columns(tables.CaseEvent, "id case_id kind detail created_at tallied")
_ORDER = (
    *(_FACTORIES, _AUDIT, _CONTACT, _ADDRESS, _KNOWN, _MEMBER, _CALLBACK, _ATTEMPT, _TALK, _MESSAGE),
    *(_OUTBOX, _CONSENT, _CASES, _GRIEVANCE, _EVENT),
)


def fill(service: Service, first: int, until: int, tell: Callable[[int], None] = lambda _: None) -> None:
    """Add the callbacks from number ``first`` up to, and not including, ``until``; ``tell`` hears how many there are.

    Number 0 is of a minute ago, and each further one is older. Rows of many callbacks are made by several processes; into
    PostgreSQL each of them puts its own, into SQLite one process puts them all. The database's statistics are brought up
    to date at the end.
    """
    database, counts = service.database, _Counts()
    ground = _Ground(
        str(service.settings.voiceback_keys),
        service.settings.database_url,
        service.clock.now(),
        wall_time().replace(microsecond=0),
        tuple(_clients(database, service.clock.now())),
    )
    pieces = [(max(first, end - _AT_ONCE), end) for end in range(until, first, -_AT_ONCE)]
    apart = until - first >= _MANY
    with prepared_for(database, until - first):
        made = _by_processes(ground, pieces) if apart else (_Maker(ground).piece(each) for each in pieces)
        with putting(ground.url) as into:
            for piece in made:
                piece.put(into)
                counts.update(piece.counts)
                tell(until - piece.first)
    with database.write() as connection:
        tally.add(connection, counts)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the making of rows needs to know, so that any process can do it."""

    keys: str
    url: str
    now: datetime
    wall: datetime
    clients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """The rows of some callbacks from number ``first`` on, and what they add to the sums. None are left if whoever made
    them put them in."""

    first: int
    rows: list[tuple[str, tuple[str, ...], list[tuple[Value, ...]]]]
    counts: _Counts

    def put(self, into: Into) -> None:
        """Put the rows in."""
        for name, columns, rows in self.rows:
            into.add(tables.metadata.tables[name], columns, rows)
        into.done()


def _by_processes(ground: _Ground, pieces: Sequence[tuple[int, int]]) -> Iterator[_Piece]:
    """Pieces in their order, made by processes of their own, a few ahead of whoever takes them."""
    number = 2 * (os.cpu_count() or 1)
    waiting: deque[Future[_Piece]] = deque()
    context = get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=context, initializer=_begin, initargs=(ground,)) as pool:
        for piece in pieces:
            waiting.append(pool.submit(_make, piece))
            if len(waiting) > 2 * number:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_process: dict[str, _Maker] = {}
"""The maker of a process that makes rows, and does nothing else."""


def _begin(ground: _Ground) -> None:
    _process["maker"] = _Maker(ground)


def _make(piece: tuple[int, int]) -> _Piece:
    maker = _process["maker"]
    made = maker.piece(piece)
    if not maker.ground.url.startswith("postgresql"):
        return made
    with putting(maker.ground.url) as into:
        made.put(into)
    return replace(made, rows=[])


def _clients(database: Database, now: datetime) -> list[str]:
    """The ids of the clients, who are made if there are none."""
    client = table(tables.Client)
    with database.write() as connection:
        known = select(client.c.id).order_by(client.c.name).limit(CLIENTS)
        if ids := list(connection.execute(known).scalars()):
            return ids
        rows = [{"id": new_id(), "name": f"Client {n:02d}", "created_at": now} for n in range(CLIENTS)]
        connection.execute(insert(client), rows)
        return [str(row["id"]) for row in rows]


class _Ids:
    """Ids as :func:`bot.ids.new_id` makes them, of instants that are over."""

    def __init__(self) -> None:
        self._random = ""
        self._place = 0

    def of(self, milliseconds: int) -> str:
        """A new id of an instant of wall time, in milliseconds since 1970."""
        place = self._place
        if place >= len(self._random):
            self._random, place = os.urandom(9 * 4096).hex(), 0
        self._place = place + 18
        return f"{milliseconds:012x}7{self._random[place : place + 3]}8{self._random[place + 3 : place + 18]}"


class _Maker:
    """Makes the rows of one callback after the other, the oldest first."""

    def __init__(self, ground: _Ground) -> None:
        self.ground = ground
        self._sealer = Sealer(keys.load(Path(ground.keys)))
        self._wall = ground.wall
        self._now = ground.now
        self._ids = _Ids()
        self._audit = self._factory = self._client = ""
        self._audit_day = date(2026, 1, 5)
        self._rows: dict[_Columns, list[tuple[Value, ...]]] = {}
        self._counts = _Counts()

    def piece(self, numbers: tuple[int, int]) -> _Piece:
        """Everything of the callbacks from one number up to, and not including, another."""
        self._audit, self._counts = "", _Counts()
        self._rows = {each: [] for each in _ORDER}
        for number in range(numbers[1] - 1, numbers[0] - 1, -1):
            self.add(number)
        rows = [(each.table.name, each.names, rows) for each, rows in self._rows.items() if rows]
        return _Piece(numbers[0], rows, self._counts)

    def add(self, number: int) -> None:
        """All rows of one callback."""
        then = self._wall - EVERY * (number + 1)
        if not self._audit or number % _FACTORY == _FACTORY - 1:
            self._add_audit(number, then)
        at = int(then.timestamp() * 1000)
        who = self._add_worker(number, then, at)
        planned = number % PLANNED == 0
        callback = self._add_callback(number, who, then, at, planned=planned)
        if not planned:
            self._add_talk(number, who, callback, then, at)

    def _put(self, where: _Columns, *values: Value) -> None:
        self._rows[where].append(values)

    def _add_audit(self, number: int, then: datetime) -> None:
        at = int(then.timestamp() * 1000)
        place = number // _FACTORY
        self._client, self._audit_day = self.ground.clients[place % CLIENTS], then.date() - timedelta(days=6)
        self._factory, self._audit = self._ids.of(at), self._ids.of(at)
        self._put(_FACTORIES, self._factory, self._client, f"Factory {number}", "ID")
        self._put(
            _AUDIT,
            *(self._audit, self._client, self._factory, f"A-{number}"),
            *(self._audit_day.isoformat(), f"{number:08d}", instant(then)),
        )

    def _add_worker(self, number: int, then: datetime, at: int) -> tuple[str, str]:
        contact, row_id, made = self._ids.of(at), self._ids.of(at), instant(then)
        address = Address(AddressKind.PHONE, f"+{_FIRST + number}")
        self._put(_CONTACT, contact, "id", "Asia/Jakarta", "ID", made)
        self._put(
            _ADDRESS,
            *(row_id, address.kind.value, self._sealer.address_index(address)),
            *(self._sealer.stop_index(address), self._sealer.seal_address(row_id, address), "ID", made),
        )
        self._put(_KNOWN, contact, row_id, "upload", made)
        return contact, row_id

    def _add_callback(
        self, number: int, who: tuple[str, str], then: datetime, at: int, *, planned: bool
    ) -> str:
        member, callback, made = self._ids.of(at), self._ids.of(at), instant(then)
        key = self._sealer.index(str(number), "benchmark")
        self._put(
            _MEMBER,
            *(member, key, key, self._audit, *who, "interviewed", "evening", "voice", made, made),
        )
        given_up = not planned and number % 4 == 0
        reason = _GIVEN_UP[number // 4 % len(_GIVEN_UP)] if given_up else None
        state = CallbackState.SCHEDULED if planned else CallbackState.REACHED
        state = CallbackState.GIVEN_UP if given_up else state
        due = self._now + timedelta(days=1, minutes=number // PLANNED % 10_000)
        first = self._audit_day + timedelta(days=5)
        self._put(
            _CALLBACK,
            *(callback, *who, member, self._audit, "audit", 1),
            *(None if planned else True, None if planned else state.value, "voice"),
            *("id", "Asia/Jakarta", "ID", "evening"),
            *(first.isoformat(), (first + timedelta(days=5)).isoformat(), state.value),
            instant(due) if planned else None,
            instant(due + timedelta(hours=3)) if planned else None,
            *(reason.value if reason else None, 0 if planned else 1, made, made),
        )
        if not planned:
            self._count(then, What.ENDED, f"{state} {reason}" if reason else state.value)
            self._count(then, What.OUTCOME, (Outcome.NON_CONTACT if given_up else Outcome.COMPLETE).value)
        return callback

    def _count(self, then: datetime, what: What, code: str) -> None:
        self._counts[then.date(), self._client, what.value, code] += 1

    def _add_talk(self, number: int, who: tuple[str, str], callback: str, then: datetime, at: int) -> None:
        contact, address = who
        written = number % _WRITTEN == 1
        channel = "sms" if written else "voice"
        attempt, talk, made = self._ids.of(at), self._ids.of(at), instant(then)
        call = None if written else f"CA{os.urandom(16).hex()}"
        later = instant(then + timedelta(hours=1))
        came_out = "cut_off" if number % 4 == 0 else "completed"
        self._put(
            _ATTEMPT,
            *(attempt, callback, 1, channel, "settled", came_out, call, 4, made, later, made, True),
            *(made, made, made, made, made, made),
        )
        self._count(then, What.ATTEMPT, came_out)
        self._count(then, What.DIALLED, "inside")
        session = self._sealer.seal_text(f"conversation.session_sealed:{talk}", "{}" * 50)
        self._put(
            _TALK,
            *(talk, address, contact, attempt, self._audit, channel, call, _LINE, "callback", "0" * 40),
            *("id", "ended", "completed", MESSAGES, session, talk, made, made, made),
        )
        self._add_messages((talk, address), channel, call, then, at)
        for n, scope in enumerate(("take_part", "contact_again"), 1):
            self._put(_CONSENT, self._ids.of(at + n), talk, scope, True, made)
        if number % _CASE == 2:
            self._add_case(number, talk, contact, then, at)

    def _add_messages(
        self, where: tuple[str, str], channel: str, call: str | None, then: datetime, at: int
    ) -> None:
        made, written = instant(then), call is None
        for n in range(MESSAGES):
            message = self._ids.of(at + n)
            out = written and n % 2 == 1
            name = f"SM{os.urandom(16).hex()}" if written else f"{call}:{n}"
            sealed = self._sealer.seal_text(f"message.body_sealed:{message}", _WORDS)
            self._put(
                _MESSAGE,
                *(message, *where, channel, "out" if out else "in", None if out else name, sealed),
                *(name if out else None, "delivered" if out else None, made),
            )
            if out:
                row = self._ids.of(at + n)
                self._put(_OUTBOX, row, "message", message, where[1], channel, "sent", made, made, 1, made)

    def _add_case(self, number: int, talk: str, contact: str, then: datetime, at: int) -> None:
        case, closed, made = self._ids.of(at), number // _CASE % 10 != 0, instant(then)
        severity = "S2" if number // _CASE % 4 == 0 else "S3"
        due = instant(then + timedelta(days=3))
        state = "closed_validated" if closed else "received"
        self._put(
            _CASES,
            *(case, f"B{number:09d}", talk, contact, self._audit, self._client, self._factory),
            *("pay_cut", severity, state, "id", made, due, due, made, 0),
        )
        self._put(_GRIEVANCE, self._ids.of(at), case, talk, "q6", "pay_cut", severity, "", made, True)
        for n, kind in enumerate(("opened", "assigned", "state") if closed else ("opened",)):
            self._put(_EVENT, self._ids.of(at + n), case, kind, None, made, True)
