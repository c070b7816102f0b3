"""A database as it is after years: callbacks that are over, their talks with ten messages each, and some cases.

Rows are made in bulk and not by the flows, but addresses, sessions and messages are sealed as real ones are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, insert, text

from bot.ids import new_id
from bot.messages import Address, AddressKind
from bot.service import Service
from bot.storage import tables
from bot.storage.tables import table

MESSAGES = 10
"""Of each callback's talk."""
_FACTORY = 60
"""Callbacks of a factory."""
_CASE = 100
"""One callback in so many became a case."""
PLANNED = 20
"""One callback in so many is planned for another day."""
_AT_ONCE = 1000
_FIRST = 628_500_000_000
_WORDS = "They cut our pay in the week after the visit, and nobody tells us why."

Rows = defaultdict[Table, list[dict[str, Any]]]


def fill(service: Service, first: int, until: int, tell: Callable[[int], None] = lambda _: None) -> None:
    """Add the callbacks from number ``first`` up to, and not including, ``until``; ``tell`` hears how many there are.

    The database's statistics are brought up to date at the end, as autovacuum does in service.
    """
    maker = _Maker(service)
    for start in range(first, until, _AT_ONCE):
        rows: Rows = defaultdict(list)
        end = min(until, start + _AT_ONCE)
        for number in range(start, end):
            maker.add(rows, number)
        with service.database.write() as connection:
            _insert(connection, rows)
        tell(end)
    with service.database.write() as connection:
        connection.execute(text("ANALYZE"))


def _insert(connection: Connection, rows: Rows) -> None:
    for each in tables.metadata.sorted_tables:
        if rows[each]:
            connection.execute(insert(each), rows[each])


class _Maker:
    def __init__(self, service: Service) -> None:
        self._sealer = service.sealer
        self._now = service.clock.now()
        self._client = ""
        self._audit = ""
        self._factory = ""

    def add(self, rows: Rows, number: int) -> None:
        """All rows of one callback."""
        if not self._audit or number % _FACTORY == 0:
            self._add_audit(rows, number)
        then = self._now - timedelta(minutes=number % 500_000)
        planned = number % PLANNED == 0
        contact, address = self._add_worker(rows, number, then)
        callback = self._add_callback(rows, number, (contact, address), then, planned=planned)
        if not planned:
            self._add_talk(rows, number, (contact, address, callback), then)

    def _add_audit(self, rows: Rows, number: int) -> None:
        if not self._client:
            self._client = new_id()
            rows[table(tables.Client)].append(
                {"id": self._client, "name": f"Client {number}", "created_at": self._now}
            )
        self._factory, self._audit = new_id(), new_id()
        rows[table(tables.Factory)].append(
            {
                "id": self._factory,
                "client_id": self._client,
                "name": f"Factory {number}",
                "country": "ID",
            }
        )
        rows[table(tables.Audit)].append(
            {
                "id": self._audit,
                "client_id": self._client,
                "factory_id": self._factory,
                "ref": f"A-{number}",
                "audit_date": date(2026, 1, 5),
                "card_code": f"{number:08d}",
                "created_at": self._now,
            }
        )

    def _add_worker(self, rows: Rows, number: int, then: datetime) -> tuple[str, str]:
        contact, row_id = new_id(), new_id()
        address = Address(AddressKind.PHONE, f"+{_FIRST + number}")
        rows[table(tables.Contact)].append(
            {"id": contact, "language": "id", "timezone": "Asia/Jakarta", "country": "ID", "created_at": then}
        )
        rows[table(tables.AddressRow)].append(
            {
                "id": row_id,
                "kind": address.kind,
                "index": self._sealer.address_index(address),
                "stop_index": self._sealer.stop_index(address),
                "sealed": self._sealer.seal_address(row_id, address),
                "country": "ID",
                "created_at": then,
            }
        )
        rows[table(tables.ContactAddress)].append(
            {"contact_id": contact, "address_id": row_id, "how": "upload", "created_at": then}
        )
        return contact, row_id

    def _add_callback(
        self, rows: Rows, number: int, worker: tuple[str, str], then: datetime, *, planned: bool
    ) -> str:
        member, callback = new_id(), new_id()
        contact, address = worker
        common: dict[str, Any] = {
            "contact_id": contact,
            "address_id": address,
            "audit_id": self._audit,
            "channel": "voice",
        }
        common |= {"preference": "evening", "created_at": then, "updated_at": then}
        key = self._sealer.index(str(number), "benchmark")
        rows[table(tables.CohortMember)].append(
            common | {"id": member, "row_key": key, "digest": key, "role": "interviewed"}
        )
        state = "scheduled" if planned else ("given_up" if number % 4 == 0 else "reached")
        due = self._now + timedelta(days=1, minutes=number % 10_000) if planned else None
        rows[table(tables.Callback)].append(
            common
            | {
                "id": callback,
                "cohort_member_id": member,
                "kind": "audit",
                "round": 1,
                "followed": None if planned else True,
                "language": "id",
                "timezone": "Asia/Jakarta",
                "country": "ID",
                "first_day": date(2026, 1, 10),
                "last_day": date(2026, 1, 15),
                "state": state,
                "tallied": None if planned else state,
                "due_at": due,
                "window_end": due + timedelta(hours=3) if due else None,
                "attempts": 0 if planned else 1,
            }
        )
        return callback

    def _add_talk(self, rows: Rows, number: int, who: tuple[str, str, str], then: datetime) -> None:
        contact, address, callback = who
        attempt, talk = new_id(), new_id()
        rows[table(tables.Attempt)].append(
            {
                "id": attempt,
                "callback_id": callback,
                "n": 1,
                "channel": "voice",
                "state": "settled",
                "disposition": "completed",
                "call_id": f"CA{attempt}",
                "provider_rank": 4,
                "window_end": then + timedelta(hours=1),
                "lease_until": then,
                "claimed_at": then,
                "asked_at": then,
                "placed_at": then,
                "answered_at": then,
                "ended_at": then,
                "settled_at": then,
                "tallied": True,
            }
        )
        rows[table(tables.Conversation)].append(
            {
                "id": talk,
                "address_id": address,
                "contact_id": contact,
                "attempt_id": attempt,
                "audit_id": self._audit,
                "channel": "voice",
                "call_id": f"CA{talk}",
                "line": "+12025550199",
                "flow": "callback",
                "revision": "0" * 40,
                "language": "id",
                "state": "ended",
                "outcome": "completed",
                "version": MESSAGES,
                "session_sealed": self._sealer.seal_text(f"conversation.session_sealed:{talk}", "{}" * 50),
                "sprint": new_id(),
                "heard_at": then,
                "started_at": then,
                "updated_at": then,
            }
        )
        for _ in range(MESSAGES):
            message = new_id()
            rows[table(tables.Message)].append(
                {
                    "id": message,
                    "conversation_id": talk,
                    "address_id": address,
                    "channel": "voice",
                    "direction": "in",
                    "event_id": message,
                    "body_sealed": self._sealer.seal_text(f"message.body_sealed:{message}", _WORDS),
                    "created_at": then,
                }
            )
        if number % _CASE == 1:
            self._add_case(rows, number, talk, then)

    def _add_case(self, rows: Rows, number: int, talk: str, then: datetime) -> None:
        case, closed = new_id(), number // _CASE % 10 != 0
        rows[table(tables.Case)].append(
            {
                "id": case,
                "reference": f"B{number:09d}",
                "conversation_id": talk,
                "audit_id": self._audit,
                "client_id": self._client,
                "factory_id": self._factory,
                "category": "pay_cut",
                "severity": "S3",
                "state": "closed_validated" if closed else "received",
                "language": "id",
                "received_at": then,
                "review_due_at": then + timedelta(days=3),
                "safety_due_at": then + timedelta(days=3),
                "updated_at": then,
                "version": 0,
            }
        )
        rows[table(tables.Grievance)].append(
            {
                "id": new_id(),
                "case_id": case,
                "conversation_id": talk,
                "question": "q6",
                "category": "pay_cut",
                "severity": "S3",
                "indicators": "",
                "created_at": then,
            }
        )
