"""Who calls whom: the callbacks that are kept for agents, by their client's policy.

Only what an upload promised is meant, and only by telephone: who asked for a call herself is led to a person
anyway, and what is written needs nobody to dial.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, literal_column, or_, select

from bot.callbacks.policy import Mode
from bot.callbacks.states import AUDIT, CallbackState
from bot.messages import Channel
from bot.storage.tables import Audit, Callback, Client, Transfer, table
from bot.transfers import TransferState

_audit = table(Audit)
_callback = table(Callback)
_client = table(Client)
_transfer = table(Transfer)

WITHOUT_AGENT: Final = timedelta(minutes=20)
"""``agent_first``: what is left of a window when the system calls by itself, because no agent was free before."""

_HAS_AGENT: Final = exists().where(
    _transfer.c.callback_id == _callback.c.id,
    _transfer.c.state != literal_column("'ended'"),
    _transfer.c.state.in_((TransferState.MATCHED, TransferState.RINGING, TransferState.TALKING)),
)
"""The first two conditions are those of the index of open transfers, in its own words."""


def for_agents(connection: Connection) -> ColumnElement[bool] | None:
    """The callbacks that agents take; None if no client wants that."""
    return _of_clients(_clients(connection, (Mode.AGENT, Mode.AGENT_FIRST)))


def not_for_system(connection: Connection, now: datetime) -> ColumnElement[bool] | None:
    """The callbacks that the system does not dial by itself at ``now``; None if there are none. One for which an agent
    is rung, or is on the line, is hers however little is left of its window."""
    only = _of_clients(_clients(connection, (Mode.AGENT,)))
    first = _of_clients(_clients(connection, (Mode.AGENT_FIRST,)))
    early = _callback.c.window_end > now + WITHOUT_AGENT
    waits = None if first is None else and_(first, or_(early, _HAS_AGENT))
    found = [each for each in (only, waits) if each is not None]
    return or_(*found) if found else None


def languages(connection: Connection) -> frozenset[str]:
    """The languages of the callbacks that wait for agents and for nobody else, whenever they are due."""
    kept = _of_clients(_clients(connection, (Mode.AGENT,)))
    if kept is None:
        return frozenset()
    waiting = (
        select(_callback.c.language).where(_callback.c.state == CallbackState.SCHEDULED, kept).distinct()
    )
    return frozenset(connection.execute(waiting).scalars())


def _clients(connection: Connection, modes: tuple[Mode, ...]) -> list[str]:
    return list(connection.execute(select(_client.c.id).where(_client.c.mode.in_(modes))).scalars())


def _of_clients(clients: list[str]) -> ColumnElement[bool] | None:
    if not clients:
        return None
    theirs = exists().where(_audit.c.id == _callback.c.audit_id, _audit.c.client_id.in_(clients))
    return and_(_callback.c.kind == AUDIT, _callback.c.channel == Channel.VOICE, theirs)
