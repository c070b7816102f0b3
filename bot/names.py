"""Two names of one account: a provider that lets people hide their number also gives them an id of another kind.

While a message carries both, both are remembered, so that a talk goes on and a stop holds when the number is
hidden later. The provider says that they are one account; nothing here is guessed.
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
_main = _address.alias("main")


def index_of(
    connection: Connection, sealer: Sealer, sender: Address, also: Address | None, now: datetime
) -> str:
    """The blind index of the address with which the talks of ``sender``'s account are kept.

    ``also`` is the account's other name, if the provider told one: it is remembered.
    """
    row = _find(connection, sealer, sender)
    if also is None or also == sender:
        return row.main_index or row.own_index if row else sealer.address_index(sender)
    other = _find(connection, sealer, also)
    if row is None and other is None:
        main_id = contacts.remember(connection, sealer, sender, now).id
        _remember(connection, sealer, also, main_id, now)
        _share_stop(connection, sealer, sender, also, now)
        return sealer.address_index(sender)
    known = row or other
    assert known is not None  # noqa: S101 - one of the two was found, or we were gone by now
    main_id, index = known.same_as or known.id, known.main_index or known.own_index
    if row is None:
        _remember(connection, sealer, sender, main_id, now)
    elif other is None:
        _remember(connection, sealer, also, main_id, now)
    elif main_id not in (other.id, other.same_as):
        # Both were met apart, before the provider told that they are one: from now on this one is used.
        connection.execute(update(_address).where(_address.c.id == other.id).values(same_as=main_id))
    else:
        return str(index)
    _share_stop(connection, sealer, sender, also, now)
    return str(index)


def _find(connection: Connection, sealer: Sealer, address: Address) -> AnyRow | None:
    return connection.execute(
        select(
            _address.c.id,
            _address.c["index"].label("own_index"),
            _address.c.same_as,
            _main.c["index"].label("main_index"),
        )
        .outerjoin(_main, _main.c.id == _address.c.same_as)
        .where(_address.c.kind == address.kind, _address.c["index"] == sealer.address_index(address))
    ).one_or_none()


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
