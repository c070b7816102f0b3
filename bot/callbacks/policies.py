"""Where clients' policies are kept."""

from __future__ import annotations

import json
from difflib import get_close_matches

from sqlalchemy import Connection, select, update

from bot.callbacks import settle
from bot.callbacks.policy import Policy, from_mapping, to_mapping
from bot.callbacks.states import CallbackState
from bot.errors import InputError
from bot.service import Service
from bot.storage.tables import Audit, Callback, Client, table

_client = table(Client)
_audit = table(Audit)
_callback = table(Callback)


def of_client(connection: Connection, name: str) -> Policy:
    """The policy of a client. Raises :class:`InputError` for a name that is not known."""
    row = connection.execute(select(_client.c.policy).where(_client.c.name == name)).one_or_none()
    if row is None:
        raise _unknown(connection, name)
    return from_mapping(json.loads(row.policy)) if row.policy else Policy()


def set_for_client(service: Service, name: str, policy: Policy) -> int:
    """Keep a policy and plan anew what nobody has dialled; gives the number of callbacks planned anew."""
    now = service.clock.now()
    with service.database.write() as connection:
        changed = connection.execute(
            update(_client)
            .where(_client.c.name == name)
            .values(policy=json.dumps(to_mapping(policy), sort_keys=True))
        )
        if not changed.rowcount:
            raise _unknown(connection, name)
        waiting = connection.execute(
            select(_callback.c.id, _audit.c.audit_date)
            .join(_audit, _audit.c.id == _callback.c.audit_id)
            .join(_client, _client.c.id == _audit.c.client_id)
            .where(
                _client.c.name == name,
                _callback.c.kind == "audit",
                _callback.c.attempts == 0,
                _callback.c.state.in_([CallbackState.SCHEDULED, CallbackState.GIVEN_UP]),
            )
        ).all()
        for row in waiting:
            first_day, last_day = policy.all_rounds()[0].days(row.audit_date)
            connection.execute(
                update(_callback)
                .where(_callback.c.id == row.id)
                .values(first_day=first_day, last_day=last_day)
            )
            settle.schedule(connection, row.id, now)
    return len(waiting)


def _unknown(connection: Connection, name: str) -> InputError:
    names = list(connection.execute(select(_client.c.name).limit(1000)).scalars())
    close = get_close_matches(name, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else " Clients come with their first audit."
    return InputError(f"there is no such client.{hint}", code="unknown_client")
