"""Two names of one account: a provider that lets people hide their number also gives them an id of another kind.

While a message carries both, both are remembered, so that a talk goes on and a stop holds when the number is
hidden later. The provider says that they are one account; nothing here is guessed. A number that comes with
another id than before has changed hands: whoever writes now is met as a stranger.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from bot import contacts
from bot.ids import new_id
from bot.messages import Address
from bot.privacy.seal import Sealer
from bot.storage.tables import AddressRow, Stop, table
from bot.storage.types import AnyRow

_address = table(AddressRow)
_stop = table(Stop)


def settle(
    connection: Connection, sealer: Sealer, sender: Address, also: Address | None, now: datetime
) -> Address:
    """The address with which the talks of ``sender``'s account are kept.

    ``also`` is the account's other name, if the provider told one: it is remembered.
    """
    row = _find(connection, sealer, sender)
    if also is None or also == sender:
        return _main_of(connection, sealer, row) or sender
    other = _find(connection, sealer, also)
    if row is None and other is not None:
        _remember(connection, sealer, sender, other.same_as or other.id, now)
        _share_stop(connection, sealer, sender, also, now)
        return _main_of(connection, sealer, other) or also
    main_id = (row.same_as or row.id) if row else contacts.remember(connection, sealer, sender, now).id
    if other is not None and main_id in (other.id, other.same_as):
        return _main_of(connection, sealer, row) or sender
    if row is not None and (row.same_as or _has_names(connection, row.id)):
        return _main_of(connection, sealer, other) or also
    if other is None:
        _remember(connection, sealer, also, main_id, now)
    else:
        # Both were met apart before the provider told that they are one: from now on the number is used.
        connection.execute(update(_address).where(_address.c.id == other.id).values(same_as=main_id))
    _share_stop(connection, sealer, sender, also, now)
    return sender


def _find(connection: Connection, sealer: Sealer, address: Address) -> AnyRow | None:
    return connection.execute(
        select(_address.c.id, _address.c.same_as).where(
            _address.c.kind == address.kind, _address.c["index"] == sealer.address_index(address)
        )
    ).one_or_none()


def _main_of(connection: Connection, sealer: Sealer, row: AnyRow | None) -> Address | None:
    """The main address of an account that was met under its second name; None for a first one."""
    if row is None or row.same_as is None:
        return None
    main = connection.execute(
        select(_address.c.id, _address.c.kind, _address.c.sealed).where(_address.c.id == row.same_as)
    ).one()
    return sealer.open_address(main.id, main.kind, main.sealed)


def _has_names(connection: Connection, main_id: str) -> bool:
    return connection.execute(select(_address.c.id).where(_address.c.same_as == main_id)).first() is not None


def _remember(connection: Connection, sealer: Sealer, address: Address, main_id: str, now: datetime) -> None:
    row_id = new_id()
    connection.execute(
        insert(_address).values(
            id=row_id,
            kind=address.kind,
            index=sealer.address_index(address),
            stop_index=sealer.stop_index(address),
            sealed=sealer.seal_address(row_id, address),
            same_as=main_id,
            created_at=now,
        )
    )


def _share_stop(connection: Connection, sealer: Sealer, one: Address, other: Address, now: datetime) -> None:
    """A stop under either name holds under both."""
    indexes = {sealer.stop_index(one), sealer.stop_index(other)}
    rows = connection.execute(
        select(_stop.c["index"].label("stop_index"), _stop.c.reason).where(_stop.c["index"].in_(indexes))
    ).all()
    if not rows:
        return
    for missing in indexes - {row.stop_index for row in rows}:
        connection.execute(insert(_stop).values(index=missing, reason=rows[0].reason, created_at=now))
