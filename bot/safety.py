"""Who may be on the line: nobody is taken for a worker before her pass-word was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, bindparam, case, exists, or_, select

from bot import links
from bot.callbacks.claim import has_begun
from bot.callbacks.states import CallbackState
from bot.flow.context import Locality
from bot.flow.events import Outcome
from bot.messages import Channel
from bot.privacy.seal import Sealer
from bot.storage.tables import (
    Attempt,
    Callback,
    CohortMember,
    Contact,
    ContactAddress,
    Conversation,
    table,
)
from bot.storage.types import AnyRow, AnySelect

_attempt = table(Attempt)
_callback = table(Callback)
_contact = table(Contact)
_member = table(CohortMember)
_conversation = table(Conversation)
_link = table(ContactAddress)

_MOST_EXPECTED: Final = 30
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


@dataclass(frozen=True, slots=True)
class Guesses:
    """Counts wrong pass-words at an address where anybody may try, because we did not begin the talk."""

    connection: Connection = field(repr=False)
    sealer: Sealer = field(repr=False)
    address_id: str
    now: datetime

    def are_used_up(self) -> bool:
        """Whether nothing is compared there any more, for a while."""
        return not links.may_guess(self.connection, self.sealer, self.address_id)

    def count(self, audit_id: str | None) -> None:
        """One more was wrong."""
        links.guessed_wrong(self.connection, self.sealer, self.address_id, audit_id, self.now)


class PassWords:
    """Checks digits against the workers who may be on the line, and remembers who it was.

    Digits that two of them chose prove neither: nobody is led into the callback of another.
    """

    def __init__(self, sealer: Sealer, expected: list[AnyRow], guesses: Guesses | None = None) -> None:
        self._sealer = sealer
        self._guesses = guesses
        self.expected = expected
        self.matched: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether any of several may be there, of whom each has a callback of her own: we did not call one of them."""
        return self._guesses is not None

    def __call__(self, digits: str) -> bool:
        if not self.expected or (self._guesses is not None and self._guesses.are_used_up()):
            return False
        digests = {row.contact_id: row.pass_word_digest for row in self.expected if row.pass_word_digest}
        found = [who for who, digest in digests.items() if self._sealer.is_pass_word(who, digits, digest)]
        if len(found) == 1:
            self.matched = found[0]
        elif not found and self._guesses is not None:
            self._guesses.count(self.expected[0].audit_id)
        return self.matched is not None


def expected(connection: Connection, address_id: str) -> list[AnyRow]:
    """Those whom we have called, or will call, at this address, and who may have a pass-word; the newest first.

    A worker whose address this is too, and who has a pass-word, is one of them wherever her callback is planned.
    """
    owners = connection.execute(
        select(_link.c.contact_id).where(_link.c.address_id == address_id).limit(_MOST_EXPECTED)
    ).scalars()
    here = _callback.c.address_id == address_id
    found = connection.execute(
        _callback_columns()
        # The first condition speaks of one table only, so that its indexes are used on every database.
        .where(or_(here, _callback.c.contact_id.in_(owners.all())))
        .where(or_(here, _contact.c.pass_word_digest.is_not(None)), _callback.c.kind != MISSED)
        # On a telephone of many, a call that is planned is not to be lost behind those that are over.
        .order_by(case((_callback.c.state == CallbackState.SCHEDULED, 0), else_=1), _callback.c.id.desc())
        .limit(_MOST_EXPECTED)
    )
    return sorted(found, key=lambda row: str(row.callback_id), reverse=True)


def present(expected: list[AnyRow], now: datetime) -> AnyRow:
    """Of those whom :func:`expected` gave, the one about whom somebody calls us who returns a call: a later round
    counts from its first day on, because nobody was called for it before. Who has a pass-word can be told apart,
    and goes before.
    """
    coded = [row for row in expected if row.pass_word_digest] or expected
    return next((row for row in coded if has_begun(row, now)), coded[0])


def awaiting(connection: Connection, address_id: str, now: datetime) -> list[AnyRow]:
    """Of the same, the callbacks that are planned and could take place now: who has a pass-word before the others.

    Among several workers without one nobody can tell who is there, so that none of them is given.
    """
    found = [row for row in expected(connection, address_id) if row.state == CallbackState.SCHEDULED]
    found = [row for row in found if has_begun(row, now)]
    coded = [row for row in found if row.pass_word_digest]
    return coded or (found if len({row.contact_id for row in found}) == 1 else [])


def unguarded(connection: Connection, address_id: str, now: datetime) -> str | None:
    """The one worker without a pass-word whom we are to call at this address: whoever picks up there may say when."""
    found = awaiting(connection, address_id, now)
    return found[0].contact_id if found and not found[0].pass_word_digest else None


def alone(connection: Connection, address_id: str, now: datetime) -> AnyRow | None:
    """The callback by telephone of the one person whose address this is, if she has a pass-word and could be called
    now, wherever that is planned. None if several use it: whoever else rings from there is not to be asked for a
    code that she does not have. Nobody is behind a missed call that was returned, and its contact is no person.
    """
    nobody = exists().where(_callback.c.contact_id == _link.c.contact_id, _callback.c.kind == MISSED)
    people = select(_link.c.contact_id).where(_link.c.address_id == address_id, ~nobody).limit(2)
    owners = connection.execute(people).scalars().all()
    if len(owners) != 1:
        return None
    found = awaiting(connection, address_id, now)
    theirs = [row for row in found if row.pass_word_digest and row.channel == Channel.VOICE]
    return theirs[0] if {row.contact_id for row in theirs} == set(owners) else None


def place_of(expected: list[AnyRow], contact_id: str | None) -> Locality | None:
    """Where the clock of an expected worker is read; of the first one if it is not known yet who is there."""
    mine = next((row for row in expected if row.contact_id == contact_id), expected[0] if expected else None)
    return Locality(ZoneInfo(mine.timezone), mine.country) if mine is not None else None


def has_rung(connection: Connection, address_id: str) -> bool:
    """Whether we ever returned a missed call of this telephone: whoever picks it up may call back."""
    rung = (_callback.c.address_id == address_id, _callback.c.kind == MISSED)
    return bool(connection.execute(select(exists().where(*rung))).scalar_one())


def called(connection: Connection, attempt_id: str) -> AnyRow | None:
    """Whom an attempt calls; None if there is no such attempt."""
    return connection.execute(_CALLED, {"of_attempt": attempt_id}).one_or_none()


def returned(connection: Connection, sealer: Sealer, address_id: str, now: datetime) -> PassWords:
    """The pass-words that count where somebody comes to us about a callback: all of those expected there."""
    guesses = Guesses(connection, sealer, address_id, now)
    return PassWords(sealer, expected(connection, address_id), guesses)


def pass_words_of(
    connection: Connection, sealer: Sealer, conversation: AnyRow, now: datetime
) -> PassWords | None:
    """The pass-words that count in a conversation that is under way; None once one was given, or if none is asked.

    In a call back to us, and where we return a missed call, it may be anybody whom we have called on that telephone.
    """
    if conversation.flow != CALLBACK or conversation.contact_id is not None:
        return None
    if conversation.attempt_id is not None:
        worker = called(connection, conversation.attempt_id)
        if worker is None or worker.kind != MISSED:
            return PassWords(sealer, [worker] if worker is not None else [])
    if conversation.address_id is None:
        return PassWords(sealer, [])
    return returned(connection, sealer, conversation.address_id, now)


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
            _callback.c.state,
            _callback.c.timezone,
            _callback.c.country,
            _conversation.c.state.label("awaited_state"),
            _conversation.c.outcome.label("awaited_outcome"),
            _contact.c.pass_word_digest,
            _member.c.role,
        )
        .join(_contact, _contact.c.id == _callback.c.contact_id)
        .outerjoin(_member, _member.c.id == _callback.c.cohort_member_id)
        .outerjoin(_conversation, _conversation.c.id == _callback.c.continues_id)
    )


_CALLED: Final = (
    _callback_columns()
    .join(_attempt, _attempt.c.callback_id == _callback.c.id)
    .where(_attempt.c.id == bindparam("of_attempt"))
)
"""Made once, because every call asks it twice."""
