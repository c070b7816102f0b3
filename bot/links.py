"""What shows that two addresses are one person's: a code that she was shown on the one, or her pass-word.

Nothing else does. That two numbers look alike, or that one telephone serves two people, links nothing.

    code       8 digits, shown once in the thread where she asked for them, good once within 30 minutes
    pass-word  the number on her card and then her pass-word, from an address that we do not know

Whoever tries digits that are wrong learns nothing from it: after a few of them nothing is compared any more,
and digits are taken as the ordinary words that they are then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from bot import incidents, throttle
from bot.clock import wall_time
from bot.flow import phrases
from bot.flow.catalog import Tongue
from bot.flow.words import digits, normal
from bot.incidents import IncidentKind
from bot.messages import Input, Keys, Text
from bot.outbox import LINK, queue_row
from bot.privacy.seal import Sealer
from bot.storage.tables import Audit, CohortMember, Contact, LinkCode, table
from bot.transcript import MASK, Thread, message_row

_code = table(LinkCode)
_audit = table(Audit)
_member = table(CohortMember)
_contact = table(Contact)

GOOD_FOR: Final = timedelta(minutes=30)
MOST_CODES: Final = 5
"""Codes that one conversation is shown within a day."""
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
MOST_WRONG_CODES: Final = 5
"""Wrong codes from one place, none an hour after the one before, after which nothing is compared for an hour."""
MOST_WRONG_PASS_WORDS: Final = 2
"""The same for a card's number with a pass-word that is nobody's, as on the telephone of a callback."""
MOST_WRONG_FOR_AUDIT: Final = 10
"""The same over all places, for the pass-words of one audit."""
MOST_WRONG_RETURNED: Final = 4
"""Wrong pass-words of those who call or write to us about a callback, at one address and none a day after the one
before, after which nothing is compared there for a day. Our own calls to it go on: each has its own two tries."""
ASKED_AT: Final = frozenset(("link_code", "card_number"))
"""Questions of the hotline at which such digits can be keyed in a call."""
ASKED_BEFORE: Final = "link"
"""The question whether a caller has any."""
_CODE: Final = re.compile(r"\d{8}", re.ASCII)
_PROOF: Final = re.compile(r"(\d{6})(\d{4,8})", re.ASCII)
_BETWEEN: Final = str.maketrans("", "", " -./\u00a0")
_MOST_CANDIDATES: Final = 5000


@dataclass(frozen=True, slots=True)
class Code:
    """Eight digits, which may be a code of ours."""

    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """Ten to fourteen digits: a card's number, and what may be the pass-word of one of the audit's workers."""

    card: str = field(repr=False)
    pass_word: str = field(repr=False)


def entry(given: Input) -> Code | Proof | None:
    """What an input may prove: digits of any script and nothing else, in its first line."""
    if isinstance(given, Keys):
        written = given.digits
    elif isinstance(given, Text):
        written = digits(normal(given.text.strip().partition("\n")[0])).translate(_BETWEEN)
    else:
        return None
    if _CODE.fullmatch(written):
        return Code(written)
    proof = _PROOF.fullmatch(written)
    return Proof(proof[1], proof[2]) if proof else None


# --- codes ------------------------------------------------------------------------------------


def offer(
    connection: Connection, sealer: Sealer, thread: Thread, tongue: Tongue, now: datetime
) -> tuple[dict[str, object], dict[str, object]]:
    """Rows of the message that shows a new code, and of its sending.

    The code itself is kept nowhere: it is made from the id of the message when that is sent
    (:func:`with_code`), and found again by its keyed digest. After :data:`MOST_CODES` in a day the worker is
    asked to use the one that she has.
    """
    since = now + GOOD_FOR - DAY
    shown = select(func.count()).where(
        _code.c.conversation_id == thread.conversation_id, _code.c.expires_at > since
    )
    if connection.execute(shown).scalar_one() >= MOST_CODES:
        row = message_row(sealer, thread, "out", tongue.text(phrases.NO_MORE_CODES), now)
        return row, queue_row(str(row["id"]), str(thread.address_id), thread.channel, now)
    row = message_row(sealer, thread, "out", f"{tongue.text(phrases.LINK_CODE)}\n{MASK}", now)
    while not _keep(connection, sealer, str(row["id"]), str(thread.conversation_id), now):
        row = message_row(sealer, thread, "out", f"{tongue.text(phrases.LINK_CODE)}\n{MASK}", now)
    return row, queue_row(str(row["id"]), str(thread.address_id), thread.channel, now, template=LINK)


def _keep(
    connection: Connection, sealer: Sealer, message_id: str, conversation_id: str, now: datetime
) -> bool:
    """Keep the digest of a message's code; False if another message has the same code at this time."""
    digest = _digest(sealer, sealer.code(message_id))
    connection.execute(delete(_code).where(_code.c.digest == digest, _code.c.expires_at <= now - DAY))
    if connection.execute(select(_code.c.digest).where(_code.c.digest == digest)).first():
        return False
    connection.execute(
        insert(_code).values(digest=digest, conversation_id=conversation_id, expires_at=now + GOOD_FOR)
    )
    return True


def with_code(sealer: Sealer, message_id: str, text: str) -> str:
    """The text of a message that shows a code, as it is sent: with its code in it."""
    return text.replace(MASK, sealer.code(message_id))


def conversation_of(connection: Connection, sealer: Sealer, code: Code, now: datetime) -> str | None:
    """The conversation in which a code that is still good was shown."""
    return connection.execute(
        select(_code.c.conversation_id).where(_is_good(sealer, code, now))
    ).scalar_one_or_none()


def spend(connection: Connection, sealer: Sealer, code: Code, now: datetime) -> bool:
    """Use a code up; False if somebody else was quicker."""
    used = update(_code).where(_is_good(sealer, code, now)).values(used_at=now)
    return connection.execute(used).rowcount == 1


def any_open(connection: Connection, now: datetime) -> bool:
    """Whether there is a code at all that a caller could have."""
    found = select(_code.c.digest).where(_code.c.used_at.is_(None), _code.c.expires_at > now)
    return connection.execute(found.limit(1)).first() is not None


def forget(connection: Connection, now: datetime) -> int:
    """Delete codes that count for nothing any more; how many."""
    return connection.execute(delete(_code).where(_code.c.expires_at <= now - DAY)).rowcount


def may_try(connection: Connection, sealer: Sealer, place: str) -> bool:
    """Whether digits from a place are still compared. ``place`` is the id of an address or of a call's talk."""
    return not throttle.is_shut(connection, _place(sealer, place), wall_time())


def was_wrong(connection: Connection, sealer: Sealer, place: str) -> None:
    """Digits from a place were no code of ours."""
    throttle.note_failure(connection, _place(sealer, place), wall_time(), MOST_WRONG_CODES, HOUR)


def _is_good(sealer: Sealer, code: Code, now: datetime) -> ColumnElement[bool]:
    return (
        (_code.c.digest == _digest(sealer, code.digits))
        & _code.c.used_at.is_(None)
        & (_code.c.expires_at > now)
    )


def _digest(sealer: Sealer, code: str) -> str:
    return sealer.index(code, "link code")


def _place(sealer: Sealer, place: str) -> str:
    return sealer.index(place, "link place")


# --- pass-words -------------------------------------------------------------------------------


def may_guess(connection: Connection, sealer: Sealer, address_id: str) -> bool:
    """Whether a pass-word that is given at an address, in a talk that we did not begin, is still compared."""
    return not throttle.is_shut(connection, sealer.index(address_id, "returned place"), wall_time())


def guessed_wrong(
    connection: Connection, sealer: Sealer, address_id: str, audit_id: str | None, now: datetime
) -> None:
    """Such a pass-word was nobody's. When the address is shut for it, the operator is told."""
    place = sealer.index(address_id, "returned place")
    shut = throttle.note_failure(connection, place, wall_time(), MOST_WRONG_RETURNED, DAY)
    if shut and audit_id:
        incidents.report(connection, IncidentKind.PASS_WORD, audit_id, now)


@dataclass(frozen=True, slots=True)
class Proven:
    """What a card's number with a pass-word showed. ``contact_id`` is None if the pass-word is nobody's,
    or if two workers of the audit chose the same."""

    audit_id: str
    contact_id: str | None


def prove(connection: Connection, sealer: Sealer, proof: Proof, place: str, now: datetime) -> Proven | None:
    """Compare a pass-word with those of the workers of the card's audit. None if it is no card of ours.

    Two failures shut a place for an hour, ten of one audit the audit, and that is told to the operator; while
    either is shut nothing is compared.
    """
    audit_id = connection.execute(
        select(_audit.c.id).where(_audit.c.card_code == proof.card)
    ).scalar_one_or_none()
    if audit_id is None:
        return None
    wall = wall_time()
    limits = {
        sealer.index(place, "proof place"): MOST_WRONG_PASS_WORDS,
        sealer.index(audit_id, "proof audit"): MOST_WRONG_FOR_AUDIT,
    }
    if any(throttle.is_shut(connection, index, wall) for index in limits):
        return Proven(audit_id, None)
    matching = _matching(connection, sealer, audit_id, proof.pass_word)
    if len(matching) == 1:
        return Proven(audit_id, matching[0])
    _count(connection, limits, audit_id, now, wall)
    return Proven(audit_id, None)


def _matching(connection: Connection, sealer: Sealer, audit_id: str, pass_word: str) -> list[str]:
    workers = connection.execute(
        select(_contact.c.id, _contact.c.pass_word_digest)
        .join(_member, _member.c.contact_id == _contact.c.id)
        .where(_member.c.audit_id == audit_id, _contact.c.pass_word_digest.is_not(None))
        .distinct()
        .limit(_MOST_CANDIDATES)
    ).all()
    return [row.id for row in workers if sealer.is_pass_word(row.id, pass_word, row.pass_word_digest)]


def _count(
    connection: Connection, limits: Mapping[str, int], audit_id: str, now: datetime, wall: datetime
) -> None:
    shut = [throttle.note_failure(connection, index, wall, most, HOUR) for index, most in limits.items()]
    if shut[-1]:
        incidents.report(connection, IncidentKind.PASS_WORD, audit_id, now)
