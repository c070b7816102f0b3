"""From an upload to rows: audits, workers, and the callbacks that are promised to them.

Uploading the same file again changes nothing. A row whose content changed updates the worker, and her
callback as long as nobody has dialled it. Each batch of rows is one transaction, so a crash in the
middle leaves whole rows only, and the next upload goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, Table, insert, select, update

from bot import contacts
from bot.audits.upload import Row, RowError
from bot.callbacks import reminders, settle
from bot.callbacks.preference import repeated
from bot.callbacks.states import AUDIT, CallbackState
from bot.ids import new_id
from bot.messages import Reveal
from bot.privacy.keys import Purpose
from bot.privacy.seal import Sealer
from bot.service import Service
from bot.storage.tables import Audit, Callback, Client, CohortMember, Contact, Factory, table
from bot.storage.types import AnyRow

_client = table(Client)
_factory = table(Factory)
_audit = table(Audit)
_member = table(CohortMember)
_contact = table(Contact)
_callback = table(Callback)

_BATCH = 100
_OPEN = (CallbackState.SCHEDULED.value, CallbackState.GIVEN_UP.value)


@dataclass
class Report:
    """What an upload did, in numbers; ``errors`` say what is wrong with rejected rows and hold no values."""

    audits: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)

    def as_data(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "audits": self.audits,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "errors": [
                {"line": e.line, "column": e.column, "code": e.code, "message": e.message}
                for e in self.errors
            ],
        }


def bring_in(
    service: Service, found: Iterable[Row | RowError], on_batch: Callable[[int], None] = lambda _: None
) -> Report:
    """Take the rows of an upload (see :func:`bot.audits.upload.read`); ``on_batch`` is told how many were read."""
    report = Report()
    audits: set[str] = set()
    rows = iter(found)
    while batch := list(islice(rows, _BATCH)):
        good = [row for row in batch if isinstance(row, Row)]
        report.errors.extend(row for row in batch if isinstance(row, RowError))
        if good:
            with service.database.write() as connection:
                for row in good:
                    importing = _Importing(connection, service.sealer, service.clock.now(), row)
                    outcome = importing.run()
                    audits.add(importing.audit_id)
                    setattr(report, outcome, getattr(report, outcome) + 1)
        on_batch(len(batch))
    report.audits = len(audits)
    report.rejected = len({error.line for error in report.errors if error.line > 1})
    return report


class _Importing:
    """One row on its way into the tables."""

    def __init__(self, connection: Connection, sealer: Sealer, now: datetime, row: Row) -> None:
        self.connection = connection
        self.sealer = sealer
        self.now = now
        self.row = row
        self.audit_id = ""

    def run(self) -> str:
        """Write the row; ``created``, ``updated`` or ``unchanged``."""
        self.audit_id = self._audit()
        key = self._digest("row_key", self.row.client, self.row.audit_ref, self._phone(), self.row.alias)
        digest = self._content()
        known = self.connection.execute(
            select(_member.c.id, _member.c.digest, _member.c.contact_id, _member.c.address_id).where(
                _member.c.row_key == key
            )
        ).one_or_none()
        if known is None:
            self._create(key, digest)
            return "created"
        if known.digest == digest:
            return "unchanged"
        self._update(known, digest)
        return "updated"

    # --- the audit ---------------------------------------------------------------------------

    def _audit(self) -> str:
        row = self.row
        client_id = self._one_of(_client, {"name": row.client}, {"created_at": self.now})
        factory_id = self._one_of(
            _factory,
            {"client_id": client_id, "name": row.factory, "country": row.country},
            {"supplier": row.supplier, "region": row.region, "industry": row.industry},
        )
        return self._one_of(
            _audit,
            {"client_id": client_id, "ref": row.audit_ref},
            {
                "factory_id": factory_id,
                "audit_date": row.audit_date,
                "card_code": self._card_code(),
                "created_at": self.now,
            },
        )

    def _one_of(self, into: Table, key: dict[str, object], more: dict[str, object]) -> str:
        found = self.connection.execute(select(into.c.id).filter_by(**key)).scalar_one_or_none()
        if found is None:
            found = new_id()
            self.connection.execute(insert(into).values(id=found, **key, **more))
        return str(found)

    def _card_code(self) -> str:
        while True:
            code = f"{secrets.randbelow(900_000) + 100_000}"
            if self.connection.execute(select(_audit.c.id).where(_audit.c.card_code == code)).first() is None:
                return code

    # --- the worker --------------------------------------------------------------------------

    def _create(self, key: str, digest: str) -> None:
        row = self.row
        address = contacts.remember(self.connection, self.sealer, row.phone, self.now, row.country)
        contact_id = contacts.new_contact(
            self.connection, address.id, self.now, how=contacts.How.AUDITOR, **self._contact_values()
        )
        self._set_secrets(contact_id)
        member_id = new_id()
        self.connection.execute(
            insert(_member).values(
                id=member_id,
                row_key=key,
                audit_id=self.audit_id,
                contact_id=contact_id,
                address_id=address.id,
                created_at=self.now,
                **self._member_values(digest),
            )
        )
        if row.consent is not False:
            self._promise(contact_id, address.id, member_id)

    def _update(self, known: AnyRow, digest: str) -> None:
        self.connection.execute(
            update(_contact).where(_contact.c.id == known.contact_id).values(**self._contact_values())
        )
        self._set_secrets(known.contact_id)
        self.connection.execute(
            update(_member).where(_member.c.id == known.id).values(**self._member_values(digest))
        )
        of_member = _callback.c.cohort_member_id == known.id
        rounds = self.connection.execute(
            select(_callback.c.id, _callback.c.round, _callback.c.attempts, _callback.c.state)
            .where(of_member)
            .order_by(_callback.c.round)
        ).all()
        if not rounds and self.row.consent is not False:
            self._promise(known.contact_id, known.address_id, known.id)
        for callback in rounds:
            # Only what nobody has dialled follows the new wish; a settled callback stays as it was.
            if callback.attempts == 0 and callback.state in _OPEN:
                self._follow_wish(callback)
        reminders.refresh(self.connection, known.contact_id, self.now)

    def _follow_wish(self, callback: AnyRow) -> None:
        untouched = (
            _callback.c.id == callback.id,
            _callback.c.attempts == 0,
            _callback.c.state.in_(_OPEN),
        )
        if self.row.consent is False:
            self.connection.execute(
                update(_callback)
                .where(*untouched)
                .values(
                    state=CallbackState.STOPPED,
                    give_up_reason="no_consent",
                    due_at=None,
                    window_end=None,
                    updated_at=self.now,
                )
            )
            return
        values = self._callback_values(callback.round)
        changed = self.connection.execute(update(_callback).where(*untouched).values(**values))
        if changed.rowcount:
            settle.schedule(self.connection, callback.id, self.now)

    def _promise(self, contact_id: str, address_id: str, member_id: str) -> None:
        settle.promise(
            self.connection,
            self.now,
            contact_id=contact_id,
            address_id=address_id,
            cohort_member_id=member_id,
            audit_id=self.audit_id,
            kind=AUDIT,
            **self._callback_values(1),
        )

    # --- values ------------------------------------------------------------------------------

    def _contact_values(self) -> dict[str, object]:
        row = self.row
        return {"language": row.language, "timezone": row.timezone, "country": row.country}

    def _member_values(self, digest: str) -> dict[str, object]:
        row = self.row
        return {
            "digest": digest,
            "role": row.role.value,
            "preference": str(row.preferred_time),
            "channel": row.channel.value,
            "nationality": row.nationality,
            "consent": row.consent,
            "reminder": row.reminder,
            "updated_at": self.now,
        }

    def _callback_values(self, number: int) -> dict[str, object]:
        row = self.row
        later = row.preferred_time if number == 1 else repeated(row.preferred_time, row.country)
        return {
            "channel": row.channel.value,
            "language": row.language,
            "timezone": row.timezone,
            "country": row.country,
            "region": row.region,
            "preference": str(later),
            "updated_at": self.now,
        } | self._days(number)

    def _days(self, number: int) -> dict[str, object]:
        """First and last day of a round; nothing where the policy has no such round any more."""
        found = settle.policy_of(self.connection, self.audit_id).round(number)
        return (
            dict(zip(("first_day", "last_day"), found.days(self.row.audit_date), strict=True))
            if found
            else {}
        )

    def _set_secrets(self, contact_id: str) -> None:
        row = self.row
        if row.pass_word:
            contacts.set_pass_word(self.connection, self.sealer, contact_id, row.pass_word)
        if row.alias:
            sealed = self.sealer.seal_text(f"contact.alias_sealed:{contact_id}", row.alias, Purpose.ADDRESS)
            self.connection.execute(
                update(_contact).where(_contact.c.id == contact_id).values(alias_sealed=sealed)
            )

    def _phone(self) -> str:
        return self.row.phone.reveal(Reveal.INDEX)

    def _content(self) -> str:
        row = self.row
        return self._digest(
            "row_content",
            *(row.factory, row.country, row.supplier, row.region, row.industry, row.audit_date),
            *(row.language, row.preferred_time, row.timezone, row.channel.value, row.pass_word),
            *(row.role.value, row.nationality, row.consent),
            # A file without this column has the digest that it had before there was one.
            *(() if row.reminder is None else (row.reminder,)),
        )

    def _digest(self, scope: str, *values: object) -> str:
        return self.sealer.index("\0".join("" if value is None else str(value) for value in values), scope)
