"""The course of a case: where it was, which ways are open from where it stands, and the way back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, or_, select

from bot.cases import lifecycle
from bot.cases.lifecycle import CaseState, Need, Transition
from bot.storage.tables import Answer, ContactAddress, Conversation, table

WORKER_CHECK_QUESTION: Final = "remedy_done"
"""The question of the worker check: its answers ``yes`` and ``no`` are the worker's word on a remedy."""

_answer, _conversation = table(Answer), table(Conversation)


@dataclass(frozen=True, slots=True)
class Undo:
    """The last change of state, which can be taken back until ``until``."""

    back_to: CaseState
    until: datetime


@dataclass(frozen=True, slots=True)
class Stay:
    """A state, and since when."""

    state: CaseState
    since: datetime


def stays_of(row: Row[Any], events: Iterable[Row[Any]]) -> list[Stay]:
    """The states that a case went through, the present one last; what was taken back is left out."""
    stays: list[Stay] = []
    for event in events:
        if event.kind == "state" and event.detail:
            left, _, entered = event.detail.partition(">")
            if not stays:
                stays.append(Stay(CaseState(left), row.received_at))
            stays.append(Stay(CaseState(entered), event.created_at))
        elif event.kind == "undo" and len(stays) > 1:
            stays.pop()
    return stays or [Stay(CaseState(row.state), row.received_at)]


def undo(stays: list[Stay], now: datetime) -> Undo | None:
    """The last change of state, if it can still be taken back."""
    if len(stays) < 2 or now - stays[-1].since > lifecycle.UNDO:
        return None
    return Undo(stays[-2].state, stays[-1].since + lifecycle.UNDO)


def ways(connection: Connection, row: Row[Any], stays: list[Stay]) -> tuple[Transition, ...]:
    """The ways that are open: those that need the worker's word only once it was given."""
    state = CaseState(row.state)
    held_from = stays[-2].state if state is CaseState.HELD and len(stays) > 1 else None
    found = lifecycle.transitions(state, held_from)
    if not any(way.needs in _WORDS for way in found):
        return found
    word = _worker_word(connection, row, stays[-1].since)
    return tuple(way for way in found if way.needs not in _WORDS or _WORDS[way.needs] == word)


_WORDS: Final = {Need.WORKER_CONFIRMS: "yes", Need.WORKER_DENIES: "no"}


def _worker_word(connection: Connection, row: Row[Any], since: datetime) -> str | None:
    """The worker's newest answer to the worker check, given since the case waits for it.

    It counts only from a conversation in which the worker was known by pass-word, or from the very
    conversation of the case: a shared telephone does not speak for somebody else.
    """
    link = table(ContactAddress)
    linked = select(link.c.address_id).where(link.c.contact_id == row.contact_id)
    same_person = and_(_conversation.c.address_id.in_(linked), _conversation.c.contact_id == row.contact_id)
    query = (
        select(_answer.c.code)
        .join(_conversation, _answer.c.conversation_id == _conversation.c.id)
        .where(or_(same_person, _conversation.c.id == row.conversation_id))
        .where(_answer.c.question == WORKER_CHECK_QUESTION, _answer.c.created_at >= since)
        .order_by(_answer.c.created_at.desc(), _answer.c.n.desc())
    )
    word: str | None = connection.execute(query.limit(1)).scalar()
    return word
