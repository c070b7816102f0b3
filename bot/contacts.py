"""Addresses, the people behind them, and the stop list.

An address is found by its blind index; the clear text is sealed. A phone may be shared: addresses are
linked to contacts, and contacts are never merged by guess.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import phonenumbers
from phonenumbers import timezone as phone_timezone
from sqlalchemy import Connection, delete, exists, insert, or_, select, update

from bot.audits import places
from bot.callbacks.states import CallbackState
from bot.clock import wall_time
from bot.errors import InputError
from bot.ids import new_id
from bot.messages import Address, AddressKind, Reveal
from bot.privacy.seal import Sealer
from bot.storage.tables import AddressRow, Callback, Contact, ContactAddress, Outbox, Stop, table

_address = table(AddressRow)
_contact = table(Contact)
_link = table(ContactAddress)
_stop = table(Stop)
_callback = table(Callback)
_outbox = table(Outbox)


class How(StrEnum):
    """How we know that an address is a person's."""

    AUDITOR = "auditor"
    """The auditor wrote it into the upload."""
    SELF = "self"
    """She wrote or called from it."""
    SHARED = "shared"
    """She handed it over on another channel, and the provider says that it is her own."""
    CODE = "code"
    """She gave there a code that we had shown her elsewhere (:mod:`bot.links`)."""
    PASS_WORD = "pass_word"  # noqa: S105 - the name of a way, not a secret
    """She gave her pass-word there."""


OWN_ACT = (How.SHARED, How.CODE, How.PASS_WORD)
"""Ways by which a worker herself says that another address is hers too."""


class StopReason(StrEnum):
    """Why an address is on the stop list."""

    WORKER = "worker"
    UNSAFE = "unsafe"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Known:
    """An address as we know it."""

    id: str
    language: str | None
    country: str | None
    stopped: bool


def find(connection: Connection, sealer: Sealer, address: Address) -> Known | None:
    """The row of an address, or None if it was never seen."""
    row = connection.execute(
        select(_address.c.id, _address.c.language, _address.c.country, _stop.c.index.label("stop"))
        .outerjoin(_stop, _stop.c.index == _address.c.stop_index)
        .where(_address.c.kind == address.kind, _address.c.index == sealer.address_index(address))
    ).one_or_none()
    return Known(row.id, row.language, row.country, row.stop is not None) if row else None


def known(connection: Connection, address_id: str) -> Known:
    """What we know of an address that has a row."""
    row = connection.execute(
        select(_address.c.id, _address.c.language, _address.c.country, _stop.c.index.label("stop"))
        .outerjoin(_stop, _stop.c.index == _address.c.stop_index)
        .where(_address.c.id == address_id)
    ).one()
    return Known(row.id, row.language, row.country, row.stop is not None)


def remember(
    connection: Connection, sealer: Sealer, address: Address, now: datetime, country: str | None = None
) -> Known:
    """The row of an address, made if it is new. The stop list is obeyed also for one that was purged."""
    known = find(connection, sealer, address)
    if known is not None:
        return known
    row_id = new_id()
    stop_index = sealer.stop_index(address)
    country = country or country_of(address)
    connection.execute(
        insert(_address).values(
            id=row_id,
            kind=address.kind,
            index=sealer.address_index(address),
            stop_index=stop_index,
            sealed=sealer.seal_address(row_id, address),
            country=country,
            created_at=now,
        )
    )
    return Known(row_id, None, country, is_stopped(connection, sealer, address))


def is_stopped(connection: Connection, sealer: Sealer, address: Address) -> bool:
    """Whether an address is on the stop list, be it one that we know or one whose row is gone."""
    stopped = exists().where(_stop.c.index == sealer.stop_index(address))
    return bool(connection.execute(select(stopped)).scalar_one())


def country_of(address: Address) -> str | None:
    """The ISO 3166 code of a phone number's country; None for other addresses and shared codes."""
    number = _parsed(address)
    return phonenumbers.region_code_for_number(number) if number else None


def timezone_of(address: Address) -> str | None:
    """The IANA zone in which a phone number lies, by its country where that has one; else the first in which
    it can lie; None if that cannot be told."""
    number = _parsed(address)
    if number is None:
        return None
    country = phonenumbers.region_code_for_number(number)
    if country:
        with suppress(InputError):
            return places.zone_of(country, None, number, wall_time().year)
    # The zones of a number that belongs to no country of its code are those of all its countries.
    zones = phone_timezone.time_zones_for_number(number)
    return zones[0] if zones and zones[0] != "Etc/Unknown" else None


def _parsed(address: Address) -> phonenumbers.PhoneNumber | None:
    if address.kind not in (AddressKind.PHONE, AddressKind.WHATSAPP):
        return None
    try:
        # An account that hides its number has an id without a plus sign, which cannot be parsed.
        return phonenumbers.parse(address.reveal(Reveal.INDEX), None)
    except phonenumbers.NumberParseException:
        return None


def speaks(connection: Connection, address_id: str, language: str) -> None:
    """The worker confirmed a language on this address."""
    connection.execute(update(_address).where(_address.c.id == address_id).values(language=language))


def new_contact(connection: Connection, address_id: str, now: datetime, *, how: How, **values: object) -> str:
    """A new person on an address, and ``how`` we know it (:class:`How`)."""
    contact_id = new_id()
    connection.execute(insert(_contact).values(id=contact_id, created_at=now, **values))
    connection.execute(
        insert(_link).values(contact_id=contact_id, address_id=address_id, how=how, created_at=now)
    )
    return contact_id


def give_phone(
    connection: Connection, sealer: Sealer, contact_id: str, address_id: str, phone: Address, now: datetime
) -> None:
    """The worker on ``address_id`` handed over her own number: both addresses are this contact's from now on.

    A number that is linked to somebody on that address already stays as it is.
    """
    known = remember(connection, sealer, phone, now)
    here, there = _link.alias("here"), _link.alias("there")
    linked = (
        select(here.c.contact_id)
        .join(there, there.c.contact_id == here.c.contact_id)
        .where(here.c.address_id == address_id, there.c.address_id == known.id)
    )
    if connection.execute(linked).first() is None:
        connection.execute(
            insert(_link).values(contact_id=contact_id, address_id=known.id, how=How.SHARED, created_at=now)
        )


def given_phone(
    connection: Connection, sealer: Sealer, address_id: str
) -> tuple[str, str | None, Address] | None:
    """The number that the worker on another kind of address said was hers: row, country and number; the latest.

    None if there is none that may be called.
    """
    here, there = _link.alias("here"), _link.alias("there")
    row = connection.execute(
        select(_address.c.id, _address.c.kind, _address.c.sealed, _address.c.country)
        .join(there, there.c.address_id == _address.c.id)
        .join(here, here.c.contact_id == there.c.contact_id)
        .outerjoin(_stop, _stop.c.index == _address.c.stop_index)
        .where(
            here.c.address_id == address_id,
            there.c.how.in_(OWN_ACT),
            _address.c.kind == AddressKind.PHONE,
            _stop.c.index.is_(None),
        )
        .order_by(there.c.created_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return row.id, row.country, sealer.open_address(row.id, row.kind, row.sealed)


def join(connection: Connection, contact_id: str, address_id: str, how: How, now: datetime) -> None:
    """By her own act an address is this contact's from now on. One that only the auditor knew of is hers for sure."""
    mine = (_link.c.contact_id == contact_id, _link.c.address_id == address_id)
    known = connection.execute(
        update(_link).where(*mine, _link.c.how == How.AUDITOR).values(how=how)
    ).rowcount
    if not known and connection.execute(select(_link.c.how).where(*mine)).first() is None:
        connection.execute(
            insert(_link).values(contact_id=contact_id, address_id=address_id, how=how, created_at=now)
        )


def has_pass_word(connection: Connection, contact_id: str | None) -> bool:
    """Whether a contact has a code by which we know her; False for None."""
    digest = select(_contact.c.pass_word_digest).where(_contact.c.id == contact_id)
    return connection.execute(digest).scalar_one_or_none() is not None


def set_pass_word(connection: Connection, sealer: Sealer, contact_id: str, digits: str) -> None:
    """Keep the keyed digest of a pass-word that the worker chose."""
    connection.execute(
        update(_contact)
        .where(_contact.c.id == contact_id)
        .values(pass_word_digest=sealer.pass_word_digest(contact_id, digits))
    )


# --- stop -------------------------------------------------------------------------------------


def stop(
    connection: Connection, address_id: str, contact_id: str | None, reason: StopReason, now: datetime
) -> None:
    """Never contact this person again: every linked address goes on the stop list, what was planned is called off.

    With a known contact all of her addresses are meant. Without, it is this address, and those of its
    contact if it has only one. Of several contacts on a shared phone only those count who said themselves,
    from elsewhere, that it is theirs; nobody else's addresses are touched. An account of an app or a mailbox
    is one person's, whatever contacts were made on it.
    """
    addresses = _linked(connection, address_id, contact_id)
    # An account of two names is stopped under both.
    named = or_(_address.c.id.in_(addresses), _address.c.same_as.in_(addresses))
    indexes = connection.execute(select(_address.c.stop_index).where(named)).scalars()
    for index in indexes.all():
        if not connection.execute(select(exists().where(_stop.c.index == index))).scalar():
            connection.execute(insert(_stop).values(index=index, reason=reason, created_at=now))
    _call_off(connection, addresses, reason, now)


def lift_stop(connection: Connection, address_id: str) -> None:
    """The worker's own explicit word lifts the stop of this address, under all of its names, and of no other."""
    index = select(_address.c.stop_index).where(
        or_(_address.c.id == address_id, _address.c.same_as == address_id)
    )
    connection.execute(delete(_stop).where(_stop.c.index.in_(index)))


def _linked(connection: Connection, address_id: str, contact_id: str | None) -> list[str]:
    owners = [contact_id] if contact_id else _owners(connection, address_id)
    linked = connection.execute(select(_link.c.address_id).where(_link.c.contact_id.in_(owners))).scalars()
    return sorted({address_id, *linked})


def _owners(connection: Connection, address_id: str) -> list[str]:
    """The contacts whose word counts for all of their addresses when somebody unproven says stop on this one."""
    rows = connection.execute(
        select(_link.c.contact_id, _link.c.how, _address.c.kind)
        .join(_address, _address.c.id == _link.c.address_id)
        .where(_link.c.address_id == address_id)
    ).all()
    surely = [row for row in rows if row.how in OWN_ACT or row.kind != AddressKind.PHONE]
    return [row.contact_id for row in (rows if len(rows) == 1 else surely)]


def _call_off(connection: Connection, addresses: list[str], reason: StopReason, now: datetime) -> None:
    state = CallbackState.UNSAFE if reason is StopReason.UNSAFE else CallbackState.STOPPED
    connection.execute(
        update(_callback)
        .where(_callback.c.address_id.in_(addresses), _callback.c.state == CallbackState.SCHEDULED)
        .values(state=state, due_at=None, window_end=None, give_up_reason=state.value, updated_at=now)
    )
    connection.execute(
        update(_outbox)
        .where(_outbox.c.address_id.in_(addresses), _outbox.c.state.in_(("queued", "waiting")))
        .values(state="cancelled")
    )
