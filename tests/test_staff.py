"""People, roles and signing in, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import func, insert, select

from bot import staff
from bot.clock import FrozenClock
from bot.errors import InputError, NotFound
from bot.privacy.seal import Sealer
from bot.staff import Person, Refused, Role
from bot.storage.database import Database
from bot.storage.tables import AccessLog, LoginThrottle, Staff, StaffSession, table

PASSWORD = "correct horse battery"
SECOND = timedelta(seconds=1)


class Door:
    """The door, with one supervisor who may pass."""

    def __init__(self, database: Database, sealer: Sealer, clock: FrozenClock) -> None:
        self.database, self.sealer, self.clock = database, sealer, clock
        self.secret = self.add("Mira", Role.SUPERVISOR)

    def add(self, name: str, *roles: Role, password: str = PASSWORD, email: str | None = None) -> str:
        """A new member of staff; their secret."""
        return staff.add(self.database, self.sealer, self.clock, name, password, roles, email)

    def code(self, drift: int = 0) -> str:
        """The code that Mira's telephone shows now, or some steps away from now."""
        return pyotp.TOTP(self.secret).at(self.clock.now() + drift * 30 * SECOND)

    def knock(
        self, name: str = "Mira", password: str = PASSWORD, code: str | None = None
    ) -> Person | Refused:
        """Try to sign in."""
        digits = self.code() if code is None else code
        return staff.authenticate(self.database, self.sealer, name, password, digits, self.clock.now())


@pytest.fixture
def door(database: Database, sealer: Sealer, frozen_clock: FrozenClock) -> Door:
    """A door with one supervisor."""
    return Door(database, sealer, frozen_clock)


def test_password_and_code_together_open_the_door(door: Door) -> None:
    person = door.knock()
    assert isinstance(person, Person)
    assert person.name == "mira"
    assert person.roles == {Role.SUPERVISOR}


def test_capitals_and_spaces_of_a_telephone_keyboard_do_not_matter(door: Door) -> None:
    digits = door.code()
    assert isinstance(door.knock(name=" MIRA ", code=f"{digits[:3]} {digits[3:]}"), Person)


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("nobody", PASSWORD, None),
        ("mira", "wrong password", None),
        ("mira", PASSWORD, "000000"),
        ("mira", PASSWORD, ""),
        ("mira", PASSWORD, "１２３４５６"),
        ("mira", "", None),
        ("", "", ""),
        ("mira", "x" * 100_000, None),
        ("n" * 5000, PASSWORD, None),
    ],
)
def test_every_failure_looks_the_same(door: Door, name: str, password: str, code: str | None) -> None:
    assert door.knock(name, password, code) == Refused(None)


@pytest.mark.parametrize(("drift", "opens"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_may_be_one_step_old_or_early(door: Door, drift: int, opens: bool) -> None:
    assert isinstance(door.knock(code=door.code(drift)), Person) is opens


def test_a_code_works_once(door: Door) -> None:
    code = door.code()
    assert isinstance(door.knock(code=code), Person)
    assert isinstance(door.knock(code=code), Refused)


def test_an_older_code_does_not_work_after_a_newer_one(door: Door) -> None:
    assert isinstance(door.knock(code=door.code(1)), Person)
    assert isinstance(door.knock(code=door.code(0)), Refused)


def test_one_code_used_twice_at_once_opens_once(door: Door) -> None:
    results: list[Person | Refused] = []
    tries = [threading.Thread(target=lambda: results.append(door.knock())) for _ in range(3)]
    for attempt in tries:
        attempt.start()
    for attempt in tries:
        attempt.join()
    assert sorted(isinstance(result, Person) for result in results) == [False, False, True]


@pytest.mark.parametrize("name", ["mira", "nobody at all"])
def test_five_failures_lock_a_name_whether_or_not_it_exists(door: Door, name: str) -> None:
    results = [door.knock(name, "wrong password") for _ in range(6)]
    assert results[:4] == [Refused(None)] * 4
    assert results[4:] == [Refused(timedelta(seconds=60))] * 2
    door.clock.advance(30 * SECOND)
    assert door.knock(name, "wrong password") == Refused(timedelta(seconds=30))


def test_a_locked_name_is_not_opened_by_the_right_answer(door: Door) -> None:
    for _ in range(5):
        door.knock(password="wrong password")
    assert isinstance(door.knock(), Refused)
    door.clock.advance(60 * SECOND)
    assert isinstance(door.knock(), Person)


def test_locks_double_up_to_fifteen_minutes(door: Door) -> None:
    waits: list[timedelta] = []
    for _ in range(11):
        result = door.knock(password="wrong password")
        assert isinstance(result, Refused)
        if result.locked_for:
            waits.append(result.locked_for)
            door.clock.advance(result.locked_for)
    assert [wait.total_seconds() for wait in waits] == [60, 120, 240, 480, 900, 900, 900]


def test_success_forgives_earlier_failures(door: Door) -> None:
    for _ in range(4):
        door.knock(password="wrong password")
    assert isinstance(door.knock(), Person)
    door.clock.advance(30 * SECOND)
    assert door.knock(password="wrong password") == Refused(None)


def test_success_makes_a_name_a_regular_of_its_source(door: Door) -> None:
    def knock(name: str, code: str) -> Person | Refused:
        now, place = door.clock.now(), "198.51.100.7"
        return staff.authenticate(door.database, door.sealer, name, PASSWORD, code, now, source=place)

    for n in range(3):
        assert knock(f"guess-{n}", "000000") == Refused(None)
    assert isinstance(knock("mira", door.code()), Person)
    throttle = table(LoginThrottle)
    with door.database.read() as connection:
        rows = connection.execute(select(throttle.c.failures)).scalars().all()
    # Three names, each alone and with its place, the place, which counts them, and a regular.
    assert sorted(rows) == [0, 1, 1, 1, 1, 1, 1, 3]


def test_many_tries_at_once_gain_nothing(door: Door) -> None:
    results: list[Person | Refused] = []
    tries = [
        threading.Thread(target=lambda: results.append(door.knock(password="wrong password")))
        for _ in range(9)
    ]
    for attempt in tries:
        attempt.start()
    for attempt in tries:
        attempt.join()
    throttle = table(LoginThrottle)
    with door.database.read() as connection:
        assert connection.execute(select(throttle.c.failures)).scalar_one() == 5


def test_somebody_who_left_cannot_come_in(door: Door) -> None:
    staff.deactivate(door.database, "mira")
    assert isinstance(door.knock(), Refused)


def test_a_new_password_replaces_the_old_one(door: Door) -> None:
    staff.set_password(door.database, "mira", "another good password")
    assert isinstance(door.knock(), Refused)
    assert isinstance(door.knock(password="another good password"), Person)


def test_a_new_secret_replaces_the_old_one(door: Door) -> None:
    old = door.code()
    door.secret = staff.reset_totp(door.database, door.sealer, "mira")
    assert isinstance(door.knock(code=old), Refused)
    assert isinstance(door.knock(), Person)


@pytest.mark.parametrize(
    ("name", "password", "email", "code"),
    [
        ("", PASSWORD, None, "name_invalid"),
        ("x" * 65, PASSWORD, None, "name_invalid"),
        ("a\nb", PASSWORD, None, "name_invalid"),
        ("MIRA", PASSWORD, None, "name_taken"),
        ("new", "short", None, "password_short"),
        ("new", "x" * 1025, None, "password_long"),
        ("new", "aaaaaaaaaaaaaaa", None, "password_weak"),
        ("long-enough-name", "Long-Enough-Name", None, "password_weak"),
        ("new", PASSWORD, "not an address", "email_invalid"),
    ],
)
def test_what_cannot_be_added_says_why(
    door: Door, name: str, password: str, email: str | None, code: str
) -> None:
    with pytest.raises(InputError) as refused:
        door.add(name, Role.AGENT, password=password, email=email)
    assert refused.value.code == code
    assert password not in str(refused.value)


def test_nobody_is_added_without_a_role(door: Door) -> None:
    with pytest.raises(InputError) as refused:
        door.add("new")
    assert refused.value.code == "role_missing"


def test_roles_are_read_from_words(door: Door) -> None:
    assert staff.read_roles(["admin", "agent"]) == {Role.ADMIN, Role.AGENT}
    with pytest.raises(InputError) as refused:
        staff.read_roles(["king"])
    assert "supervisor" in str(refused.value)


Change = Callable[[Door], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda door: staff.deactivate(door.database, "mira"),
        lambda door: staff.set_roles(door.database, "mira", [Role.AGENT]),
        lambda door: staff.set_password(door.database, "mira", "another good password"),
        lambda door: staff.reset_totp(door.database, door.sealer, "mira"),
    ],
    ids=["deactivate", "set_roles", "set_password", "reset_totp"],
)
def test_a_change_of_rights_ends_all_sessions(door: Door, change: Change) -> None:
    person, now = door.knock(), door.clock.now()
    assert isinstance(person, Person)
    row = {"id": "0" * 64, "staff_id": person.id, "created_at": now, "seen_at": now}
    with door.database.write() as connection:
        connection.execute(insert(table(StaffSession)).values(row))
    change(door)
    with door.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(table(StaffSession))).scalar() == 0


def test_every_change_of_staff_is_in_the_access_log_with_who_did_it(door: Door) -> None:
    door.add("boss", Role.ADMIN)
    person, log = door.knock(), table(AccessLog)
    assert isinstance(person, Person)
    staff.set_email(door.database, door.sealer, "mira", "mira@example.org", by=person.id)
    staff.deactivate(door.database, "mira", by=person.id)
    staff.activate(door.database, "mira")
    with door.database.read() as connection:
        query = select(log.c.action, log.c.staff_id).where(log.c.object_id == person.id).order_by(log.c.id)
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows[-3:] == [("set_email", person.id), ("deactivate", person.id), ("activate", None)]


def test_the_last_administrator_can_neither_be_taken_away_nor_lose_the_role(door: Door) -> None:
    door.add("boss", Role.ADMIN)
    door.add("second", Role.ADMIN, Role.SUPERVISOR)
    staff.set_roles(door.database, "second", [Role.SUPERVISOR])
    with pytest.raises(InputError) as kept:
        staff.deactivate(door.database, "boss")
    with pytest.raises(InputError) as still:
        staff.set_roles(door.database, "boss", [Role.SUPERVISOR])
    assert kept.value.code == still.value.code == "last_admin"
    staff.set_roles(door.database, "boss", [Role.ADMIN, Role.AGENT])
    staff.deactivate(door.database, "second")


def test_two_administrators_who_take_each_other_away_at_once_do_not_both_succeed(door: Door) -> None:
    door.add("boss", Role.ADMIN)
    door.add("second", Role.ADMIN)
    refused: list[str] = []

    def take_away(name: str) -> None:
        try:
            staff.deactivate(door.database, name)
        except InputError as error:
            refused.append(error.code)

    tries = [threading.Thread(target=take_away, args=(name,)) for name in ("boss", "second")]
    for attempt in tries:
        attempt.start()
    for attempt in tries:
        attempt.join()
    assert refused == ["last_admin"]


def test_somebody_who_comes_back_has_the_access_of_before(door: Door) -> None:
    staff.deactivate(door.database, "mira")
    staff.activate(door.database, "mira")
    assert isinstance(door.knock(), Person)


@pytest.mark.parametrize(
    "change",
    [
        lambda door: staff.deactivate(door.database, "nobody"),
        lambda door: staff.reset_totp(door.database, door.sealer, "nobody"),
    ],
    ids=["deactivate", "reset_totp"],
)
def test_somebody_who_is_not_there_is_not_found(door: Door, change: Change) -> None:
    with pytest.raises(NotFound):
        change(door)


def test_signing_in_is_in_the_access_log(door: Door) -> None:
    door.knock(password="wrong password")
    person = door.knock()
    assert isinstance(person, Person)
    log = table(AccessLog)
    with door.database.read() as connection:
        rows = connection.execute(select(log.c.staff_id, log.c.action).where(log.c.action == "sign_in")).all()
    assert [tuple(row) for row in rows] == [(person.id, "sign_in")]


def test_what_is_over_is_forgotten(door: Door) -> None:
    person, now = door.knock(), door.clock.now()
    assert isinstance(person, Person)
    door.knock(name="nobody")
    rows = [
        {"id": "1" * 64, "staff_id": person.id, "created_at": now, "seen_at": now},
        {"id": "2" * 64, "staff_id": person.id, "created_at": now, "seen_at": now - timedelta(minutes=31)},
        {"id": "3" * 64, "staff_id": person.id, "created_at": now - timedelta(hours=9), "seen_at": now},
    ]
    with door.database.write() as connection:
        connection.execute(insert(table(StaffSession)), rows)
    assert staff.forget_old(door.database, now) == 2
    assert staff.forget_old(door.database, now + timedelta(days=1)) == 2


def test_no_secret_password_or_address_is_stored_or_printed(door: Door) -> None:
    secret = door.add("Dewi", Role.ADMIN, email="dewi@example.org")
    with door.database.read() as connection:
        row = connection.execute(select(table(Staff)).where(table(Staff).c.name == "dewi")).one()
    stored = repr(tuple(row))
    assert PASSWORD not in stored
    assert secret not in stored
    assert "dewi@example.org" not in stored
    assert "example" not in repr(Staff(**row._mapping))


def test_an_authenticator_app_can_read_the_secret(door: Door) -> None:
    uri = staff.provisioning_uri("Mira", door.secret)
    assert isinstance(pyotp.parse_uri(uri), pyotp.TOTP)
    assert "Voiceback" in uri


def test_an_endpoint_without_a_policy_is_refused_to_everybody() -> None:
    assert not staff.allows("console.new_thing", set(Role))
    assert staff.allows("console.sign_in", ())
    assert not staff.allows("console.home", ())
