"""Where clients' policies are kept, and what a change of one does.

A policy is changed as a whole. The one before it stays known, so that a change can be taken back; taking back is
a change too, and can be taken back itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from sqlalchemy import Connection, insert, select, update

from bot.callbacks import anew
from bot.callbacks.policy import REST_OF_THE_WORLD, Mode, Policy, from_json, to_json
from bot.errors import ConflictError, InputError
from bot.ids import new_id
from bot.privacy import access
from bot.service import Service
from bot.settings import Settings
from bot.storage.tables import Client, PolicyChange, table

_client = table(Client)
_change = table(PolicyChange)

NEVER_CHANGED: Final = "0"
"""The version of a policy that nobody has changed yet."""


@dataclass(frozen=True, slots=True)
class Held:
    """A client's policy as it stands. ``version`` names the change that made it."""

    client_id: str
    client: str
    policy: Policy
    version: str
    changed_at: datetime | None


def of_client(connection: Connection, name: str) -> Policy:
    """The policy of a client. Raises :class:`InputError` for a name that is not known."""
    return held(connection, name).policy


def held(connection: Connection, name: str) -> Held:
    """The policy of a client, by name or id, with its version. Raises as :func:`of_client`."""
    row = connection.execute(
        select(_client).where((_client.c.name == name) | (_client.c.id == name)).limit(1)
    ).one_or_none()
    if row is None:
        raise _unknown(connection, name)
    change = connection.execute(
        select(_change.c.id, _change.c.created_at)
        .where(_change.c.client_id == row.id)
        .order_by(_change.c.id.desc())
        .limit(1)
    ).one_or_none()
    version, changed_at = (change.id, change.created_at) if change else (NEVER_CHANGED, None)
    return Held(row.id, row.name, from_json(row.policy), version, changed_at)


def clients(connection: Connection, limit: int) -> list[tuple[str, str]]:
    """Ids and names of the clients, by name."""
    rows = connection.execute(select(_client.c.id, _client.c.name).order_by(_client.c.name).limit(limit))
    return [(row.id, row.name) for row in rows]


def every(connection: Connection) -> list[tuple[str, Policy]]:
    """The policies of all clients, by name."""
    rows = connection.execute(select(_client.c.name, _client.c.policy).order_by(_client.c.name))
    return [(row.name, from_json(row.policy)) for row in rows]


def check_numbers(policy: Policy, settings: Settings) -> None:
    """Raise :class:`InputError` that names the country if a number that is to call it is not ours."""
    for country, number in policy.caller_id:
        if number not in settings.twilio_voice_from:
            where = "the other countries" if country == REST_OF_THE_WORLD else country
            raise InputError(
                f"caller_id: the number for {where} is not one of ours. Set it in TWILIO_VOICE_FROM first.",
                code="not_ours",
            )


def set_for_client(
    service: Service, name: str, policy: Policy, *, by: str | None = None, over: str | None = None
) -> int:
    """Keep a policy and plan anew what nobody has dialled (:mod:`bot.callbacks.anew`); gives the number of callbacks
    planned anew.

    ``by`` is the member of staff, None the command line. ``over`` is the version that is to be replaced: raises
    :class:`ConflictError` if somebody was quicker. Raises :class:`InputError` for an unknown client, or a caller
    id that is not ours.
    """
    check_numbers(policy, service.settings)
    now = service.clock.now()
    with service.database.write() as connection:
        former = _locked(connection, name)
        if over is not None and former.version != over:
            raise ConflictError("the policy was changed meanwhile")
        _keep(connection, former, policy, by, now)
        affected = anew.begin(connection, former.client_id, policy, now)
    while anew.go_on(service.database, former.client_id, now):
        pass
    return affected


def take_back(service: Service, name: str, *, by: str | None = None, over: str | None = None) -> Policy:
    """Give a client the policy back that it had before the last change.

    Raises :class:`InputError` if it was never changed, else as :func:`set_for_client`.
    """
    with service.database.read() as connection:
        policy = former(connection, name)
    if policy is None:
        raise InputError("this policy was never changed.", code="never_changed")
    set_for_client(service, name, policy, by=by, over=over)
    return policy


def former(connection: Connection, name: str) -> Policy | None:
    """The policy that a client had before the last change; None if it was never changed."""
    known = held(connection, name)
    row = connection.execute(select(_change.c.former).where(_change.c.id == known.version)).one_or_none()
    return None if row is None else from_json(row.former)


def _locked(connection: Connection, name: str) -> Held:
    """As :func:`held`; nobody else changes it until the transaction ends."""
    mine = (_client.c.name == name) | (_client.c.id == name)
    connection.execute(select(_client.c.id).where(mine).with_for_update(key_share=True))
    return held(connection, name)


def _keep(connection: Connection, former: Held, policy: Policy, by: str | None, now: datetime) -> None:
    before = connection.execute(select(_client.c.policy).where(_client.c.id == former.client_id)).scalar_one()
    connection.execute(
        insert(_change).values(
            id=new_id(), client_id=former.client_id, former=before, staff_id=by, created_at=now
        )
    )
    connection.execute(
        update(_client)
        .where(_client.c.id == former.client_id)
        .values(
            policy=to_json(policy),
            daily_cap=policy.daily_cap,
            mode=None if policy.mode is Mode.AUTOMATIC else policy.mode,
        )
    )
    access.record(connection, by, "set_policy", "client", former.client_id, now)


def _unknown(connection: Connection, name: str) -> InputError:
    names = [known for _, known in clients(connection, 1000)]
    close = get_close_matches(name, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else " Clients come with their first audit."
    return InputError(f"there is no such client.{hint}", code="unknown_client")
