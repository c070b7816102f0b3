"""Who may be on the line: nobody is taken for a worker before her pass-word was given."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, exists, select

from bot.callbacks.claim import has_begun
from bot.flow.events import Outcome
from bot.privacy.seal import Sealer
from bot.storage.tables import Attempt, Callback, CohortMember, Contact, Conversation, table
from bot.storage.types import AnyRow, AnySelect

_attempt = table(Attempt)
_callback = table(Callback)
_contact = table(Contact)
_member = table(CohortMember)
_conversation = table(Conversation)

PUT_OFF: Final = (
    Outcome.LATER,
    Outcome.NOT_SAFE_NOW,
    Outcome.NO_INPUT,
    Outcome.CUT_OFF,
    Outcome.EXPIRED,
)
"""Ends of a talk after which it may go on where it stood, if the engine says so (``is_unfinished``)."""

LAST_ROUND: Final = 3
"""The greatest number of a round that a flow may ask for; later rounds are led like it."""
CALLBACK = "callback"
"""The flow that calls and texts to registered workers go through."""
MISSED = "missed"
"""The kind of a callback that answers a call which we refused; nobody behind it is known."""


class PassWords:
    """Checks digits against the workers who may be on the line, and remembers who it was."""

    def __init__(self, sealer: Sealer, expected: list[AnyRow]) -> None:
        self._sealer = sealer
        self._expected = [(row.contact_id, row.pass_word_digest) for row in expected]
        self.matched: str | None = None

    def __call__(self, digits: str) -> bool:
        for contact_id, digest in self._expected:
            if digest and self._sealer.is_pass_word(contact_id, digits, digest):
                self.matched = contact_id
                return True
        return False


def expected(connection: Connection, address_id: str) -> list[AnyRow]:
    """Those whom we have called, or will call, on this telephone, and who may have a pass-word; the newest first."""
    return list(
        connection.execute(
            _callback_columns()
            .where(_callback.c.address_id == address_id, _callback.c.kind != MISSED)
            .order_by(_callback.c.id.desc())
            .limit(30)
        )
    )


def present(expected: list[AnyRow], now: datetime) -> AnyRow:
    """Of those whom :func:`expected` gave, the one about whom somebody calls us who returns a call: a later round
    counts from its first day on, because nobody was called for it before.
    """
    return next((row for row in expected if has_begun(row, now)), expected[0])


def has_rung(connection: Connection, address_id: str) -> bool:
    """Whether we ever returned a missed call of this telephone: whoever picks it up may call back."""
    rung = (_callback.c.address_id == address_id, _callback.c.kind == MISSED)
    return bool(connection.execute(select(exists().where(*rung))).scalar_one())


def called(connection: Connection, attempt_id: str) -> AnyRow | None:
    """Whom an attempt calls; None if there is no such attempt."""
    return connection.execute(
        _callback_columns()
        .join(_attempt, _attempt.c.callback_id == _callback.c.id)
        .where(_attempt.c.id == attempt_id)
    ).one_or_none()


def pass_words_of(connection: Connection, sealer: Sealer, conversation: AnyRow) -> PassWords | None:
    """The pass-words that count in a conversation that is under way; None once one was given, or if none is asked.

    In a call back to us it may be anybody whom we have called on that telephone.
    """
    if conversation.flow != CALLBACK or conversation.contact_id is not None:
        return None
    if conversation.attempt_id is not None:
        worker = called(connection, conversation.attempt_id)
        return PassWords(sealer, [worker] if worker is not None else [])
    found = expected(connection, conversation.address_id) if conversation.address_id else []
    return PassWords(sealer, found)


def facts(row: AnyRow, trigger: str) -> dict[str, str]:
    """What the flow knows of a worker whom we expect, before she has said a word."""
    return {
        "trigger": trigger,
        "language": row.language,
        "language_known": "yes",
        "role": row.role or "interviewed",
        "has_pass_word": "yes" if row.pass_word_digest else "no",
        # The flow tells the first round from later ones, and knows no more than three.
        "round": str(min(row.round, LAST_ROUND)),
        "kind": row.kind,
        "continues": "yes" if row.awaited_state == "open" or row.awaited_outcome in PUT_OFF else "no",
    }


def _callback_columns() -> AnySelect:
    return (
        select(
            _callback.c.id.label("callback_id"),
            _callback.c.contact_id,
            _callback.c.address_id,
            _callback.c.audit_id,
            _callback.c.channel,
            _callback.c.language,
            _callback.c.round,
            _callback.c.first_day,
            _callback.c.kind,
            _conversation.c.state.label("awaited_state"),
            _conversation.c.outcome.label("awaited_outcome"),
            _contact.c.pass_word_digest,
            _member.c.role,
        )
        .join(_contact, _contact.c.id == _callback.c.contact_id)
        .outerjoin(_member, _member.c.id == _callback.c.cohort_member_id)
        .outerjoin(_conversation, _conversation.c.id == _callback.c.continues_id)
    )
