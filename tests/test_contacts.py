"""Addresses, people and the stop list: a stop reaches all that is hers, and nothing that is another's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot import contacts
from bot.contacts import StopReason
from bot.messages import Address, AddressKind
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import Worker, World

FIRST, SECOND = "+6281277788801", "+6281277788802"
Link = Callable[[str, str], None]


def remember(world: World, number: str) -> contacts.Known:
    """The row of a number."""
    with world.service.database.write() as connection:
        return contacts.remember(connection, world.service.sealer, world.phone(number), world.clock.now())


def stopped(world: World, number: str) -> bool:
    """Whether a number is on the stop list."""
    with world.service.database.read() as connection:
        known = contacts.find(connection, world.service.sealer, world.phone(number))
    assert known is not None
    return known.stopped


def stop(world: World, number: str, contact_id: str | None = None) -> None:
    """The worker says stop."""
    address = remember(world, number)
    with world.service.database.write() as connection:
        contacts.stop(connection, address.id, contact_id, StopReason.WORKER, world.clock.now())


def person(world: World, *numbers: str) -> str:
    """A person with some numbers."""
    ids = [remember(world, number).id for number in numbers]
    with world.service.database.write() as connection:
        contact_id = contacts.new_contact(connection, ids[0], world.clock.now(), how=contacts.How.SELF)
        for address_id in ids[1:]:
            connection.execute(
                table(tables.ContactAddress)
                .insert()
                .values(
                    contact_id=contact_id,
                    address_id=address_id,
                    how=contacts.How.SELF,
                    created_at=world.clock.now(),
                )
            )
    return contact_id


def test_an_address_is_known_again(world: World) -> None:
    assert remember(world, FIRST) == remember(world, FIRST)
    assert remember(world, FIRST).id != remember(world, SECOND).id
    assert remember(world, FIRST).country == "ID"


def test_stop_covers_every_address_of_a_person(world: World) -> None:
    contact_id = person(world, FIRST, SECOND)
    stop(world, FIRST, contact_id)
    assert stopped(world, FIRST)
    assert stopped(world, SECOND)


def test_stop_covers_linked_addresses_although_nobody_proved_who_she_is(world: World) -> None:
    person(world, FIRST, SECOND)
    stop(world, FIRST)
    assert stopped(world, SECOND)


def test_stop_on_a_shared_phone_touches_nobody_elses_addresses(world: World) -> None:
    person(world, FIRST)
    person(world, FIRST, SECOND)
    stop(world, FIRST)
    assert stopped(world, FIRST)
    assert not stopped(world, SECOND)


def join(world: World, contact_id: str, number: str, how: contacts.How) -> None:
    """A number becomes somebody's by her own act."""
    address = remember(world, number)
    with world.service.database.write() as connection:
        contacts.join(connection, contact_id, address.id, how, world.clock.now())


@pytest.mark.parametrize("how", contacts.OWN_ACT)
def test_stop_on_a_shared_phone_reaches_who_said_that_it_is_hers(world: World, how: contacts.How) -> None:
    person(world, FIRST)
    join(world, person(world, SECOND), FIRST, how)
    stop(world, FIRST)
    assert stopped(world, SECOND)


def test_stop_in_an_app_reaches_all_that_was_ever_given_there(sqlite_world: World) -> None:
    world = sqlite_world
    account = Address(AddressKind.TELEGRAM, "4242")
    with world.service.database.write() as connection:
        known = contacts.remember(connection, world.service.sealer, account, world.clock.now())
        for _ in range(2):
            owner = contacts.new_contact(connection, known.id, world.clock.now(), how=contacts.How.SELF)
    join(world, owner, FIRST, contacts.How.SHARED)
    with world.service.database.write() as connection:
        contacts.stop(connection, known.id, None, StopReason.WORKER, world.clock.now())
    assert stopped(world, FIRST)


def test_what_the_auditor_knew_and_she_proves_is_hers_for_sure(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(number=FIRST))
    (link,) = world.rows(tables.ContactAddress)
    join(world, link.contact_id, FIRST, contacts.How.PASS_WORD)
    join(world, link.contact_id, FIRST, contacts.How.CODE)
    assert [row.how for row in world.rows(tables.ContactAddress)] == ["pass_word"]


def test_stop_calls_off_what_was_planned(world: World) -> None:
    world.interviewed(Worker(number=FIRST), Worker(number=SECOND, alias="W-2"))
    stop(world, FIRST)
    assert [each["state"] for each in world.callbacks()] == ["stopped", "scheduled"]


def test_stop_survives_the_purge_of_the_address(world: World) -> None:
    known = remember(world, FIRST)
    stop(world, FIRST)
    with world.service.database.write() as connection:
        address = table(tables.AddressRow)
        connection.execute(address.delete().where(address.c.id == known.id))
    again = remember(world, FIRST)
    assert again.id != known.id
    assert again.stopped


def test_a_lifted_stop_is_lifted_for_this_address_alone(world: World) -> None:
    contact_id = person(world, FIRST, SECOND)
    stop(world, FIRST, contact_id)
    known = remember(world, FIRST)
    with world.service.database.write() as connection:
        contacts.lift_stop(connection, known.id)
    assert not stopped(world, FIRST)
    assert stopped(world, SECOND)


def test_saying_stop_twice_is_saying_it_once(world: World) -> None:
    stop(world, FIRST)
    stop(world, FIRST)
    assert len(world.rows(tables.Stop)) == 1


@pytest.mark.parametrize(
    ("number", "country", "zone"),
    [
        ("+6281277788801", "ID", "Asia/Jakarta"),
        ("+959450000001", "MM", "Asia/Yangon"),
        ("+18765550123", "JM", "America/Jamaica"),
        ("nonsense", None, None),
        ("+000", None, None),
    ],
)
def test_a_numbers_country_and_zone(
    sqlite_world: World, number: str, country: str | None, zone: str | None
) -> None:
    address = sqlite_world.phone(number)
    assert contacts.country_of(address) == country
    assert contacts.timezone_of(address) == zone
