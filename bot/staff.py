"""Staff: people, roles, what each role may open, and how a person proves to be who they say.

Everything here runs on real time: lockouts, one-time passwords and sessions guard against people, whom
the demo's clock does not move. The failed sign-ins of a name that nobody has are counted like those of
a real one, and take as long.
"""

from __future__ import annotations

import hmac
import threading
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot import throttle
from bot.clock import Clock, wall_time
from bot.errors import InputError, NotFound
from bot.ids import new_id
from bot.privacy import access
from bot.privacy.keys import Purpose
from bot.privacy.seal import Sealer
from bot.storage.database import Database
from bot.storage.tables import Staff, StaffSession, table

_staff = table(Staff)

PASSWORD_LENGTH: Final = 12
_LONGEST_PASSWORD: Final = 1024
_LONGEST_NAME: Final = 64
_STEP: Final = 30
"""Seconds of one step of a time-based one-time password (RFC 6238)."""

_HASHING: Final = threading.BoundedSemaphore(2)
"""Each check of a password takes 64 MiB: a flood of sign-ins waits its turn instead of taking all memory."""

IDLE: Final = timedelta(minutes=30)
"""A session that is not used for so long is over."""
LONGEST_SESSION: Final = timedelta(hours=8)
"""A session is over after this, used or not."""


class Role(StrEnum):
    """What a member of staff is for. A person may have several."""

    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    REMEDY_HANDLER = "remedy_handler"
    AUDITOR = "auditor"
    CLIENT_VIEWER = "client_viewer"


# --- the policy table -------------------------------------------------------------------------

EVERYBODY: Final = None
"""Also people who are not signed in."""
_STAFF: Final = frozenset(Role)
_SUPERVISORS: Final = frozenset({Role.SUPERVISOR})
_AGENTS: Final = frozenset({Role.AGENT})
_ADMINS: Final = frozenset({Role.ADMIN})

POLICY: Final[Mapping[str, frozenset[Role] | None]] = MappingProxyType(
    {
        "console.static": EVERYBODY,
        "console.sign_in": EVERYBODY,
        "console.sign_out": _STAFF,
        "console.home": _STAFF,
        "console.cases": _SUPERVISORS,
        "console.case": _SUPERVISORS,
        "console.case_take": _SUPERVISORS,
        "console.case_review": _SUPERVISORS,
        "console.case_note": _SUPERVISORS,
        "console.case_answer": _SUPERVISORS,
        "console.case_severity": _SUPERVISORS,
        "console.case_circumstances": _SUPERVISORS,
        "console.case_move": _SUPERVISORS,
        "console.case_undo": _SUPERVISORS,
        "console.recording": _SUPERVISORS,
        "console.file": _SUPERVISORS,
        "console.agent": _AGENTS,
        "console.agent_state": _AGENTS,
        "console.agent_come": _AGENTS,
        "console.agent_go": _AGENTS,
        "console.agent_note": _AGENTS,
        "console.agent_answer": _AGENTS,
        "console.agent_end": _AGENTS,
        "console.agent_unsafe": _AGENTS,
        "console.agent_wrap_up": _AGENTS,
        "console.line": _SUPERVISORS,
        "console.watch": _SUPERVISORS | _ADMINS,
        "console.callbacks": _SUPERVISORS,
        "console.callback": _SUPERVISORS,
        "console.callback_look": _SUPERVISORS,
        "console.callback_move": _SUPERVISORS,
        "console.callback_undo": _SUPERVISORS,
        # Supervisors answer for when workers are called; administrators keep the machines.
        "console.policies": _SUPERVISORS,
        "console.policy": _SUPERVISORS,
        "console.policy_look": _SUPERVISORS,
        "console.policy_save": _SUPERVISORS,
        "console.policy_undo": _SUPERVISORS,
        "console.shifts": _SUPERVISORS,
        "console.shifts_look": _SUPERVISORS,
        "console.shifts_save": _SUPERVISORS,
        "console.account": _STAFF,
        "console.account_password": _STAFF,
        "console.staff": _ADMINS,
        "console.staff_add": _ADMINS,
        "console.staff_member": _ADMINS,
        "console.staff_roles": _ADMINS,
        "console.staff_line": _ADMINS,
        "console.staff_email": _ADMINS,
        "console.staff_password": _ADMINS,
        "console.staff_totp": _ADMINS,
        "console.staff_deactivate": _ADMINS,
        "console.staff_activate": _ADMINS,
        "console.operations": _ADMINS,
        "console.incident_resolve": _ADMINS,
    }
)
"""Who may use which endpoint of the console. What is not in this table is refused to everybody."""


def allows(endpoint: str, roles: Collection[Role]) -> bool:
    """Whether somebody with these roles (none: not signed in) may use an endpoint; False if it has no policy."""
    if endpoint not in POLICY:
        return False
    wanted = POLICY[endpoint]
    return wanted is EVERYBODY or not wanted.isdisjoint(roles)


# --- people -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """A member of staff who is signed in."""

    id: str
    name: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Refused:
    """A sign-in that failed. It never says which part was wrong, or whether the name exists."""

    locked_for: timedelta | None = None
    """What is left of the lock of this name or its source, if there is one now."""


def add(
    database: Database,
    sealer: Sealer,
    clock: Clock,
    name: str,
    password: str,
    roles: Collection[Role],
    email: str | None = None,
    *,
    by: str | None = None,
    also: Callable[[Connection, str], None] | None = None,
) -> str:
    """Add a member of staff and return the secret for their one-time passwords, shown this once.

    Names are unique without regard to capitals. ``by`` is the administrator who does it, here and below;
    None is the command line. ``also`` is done with the new id in the same transaction. Raises :class:`InputError` for a bad name or e-mail address, a short password,
    no role, or a name that is taken.
    """
    known, hashed = _name(name), _hash(_password(password, name))
    person, secret = new_id(), pyotp.random_base32()
    row = {
        "id": person,
        "name": known,
        "password_hash": hashed,
        "totp_sealed": _seal_totp(sealer, person, secret),
        "totp_step": 0,
        "email_sealed": _seal_email(sealer, person, email),
        "roles": _written(roles),
        "active": True,
        "created_at": clock.now(),
    }
    try:
        with database.write() as connection:
            connection.execute(insert(_staff).values(row))
            access.record(connection, by, "add_staff", "staff", person, wall_time())
            if also is not None:
                also(connection, person)
    except IntegrityError:
        raise InputError("a member of staff of this name exists already", code="name_taken") from None
    return secret


def set_password(database: Database, name: str, password: str, *, by: str | None = None) -> None:
    """Give a new password; all sessions of the person end. Raises NotFound and InputError."""
    hashed = _hash(_password(password, name))
    with database.write() as connection:
        _change(connection, _id_of(connection, name), "set_password", {"password_hash": hashed}, by)


def reset_totp(database: Database, sealer: Sealer, name: str, *, by: str | None = None) -> str:
    """Make and return a new secret for one-time passwords; all sessions of the person end. Raises NotFound."""
    secret = pyotp.random_base32()
    with database.write() as connection:
        person = _id_of(connection, name)
        values = {"totp_sealed": _seal_totp(sealer, person, secret), "totp_step": 0}
        _change(connection, person, "reset_totp", values, by)
    return secret


def set_roles(database: Database, name: str, roles: Collection[Role], *, by: str | None = None) -> None:
    """Give other roles; all sessions of the person end. Raises NotFound and InputError (``last_admin``)."""
    written = _written(roles)
    with database.write() as connection:
        person = _id_of(connection, name)
        if Role.ADMIN not in roles:
            _keep_an_admin(connection, person)
        _change(connection, person, "set_roles", {"roles": written}, by)


def set_email(
    database: Database, sealer: Sealer, name: str, email: str | None, *, by: str | None = None
) -> None:
    """Give an address for notices, or take it away (None). Sessions go on. Raises NotFound and InputError."""
    with database.write() as connection:
        person = _id_of(connection, name)
        values = {"email_sealed": _seal_email(sealer, person, email)}
        connection.execute(update(_staff).where(_staff.c.id == person).values(values))
        access.record(connection, by, "set_email", "staff", person, wall_time())


def deactivate(database: Database, name: str, *, by: str | None = None) -> None:
    """Take away all access at once; the person's name stays in histories. Raises NotFound and InputError
    (``last_admin``): without an administrator nobody could let anybody in again."""
    with database.write() as connection:
        person = _id_of(connection, name)
        _keep_an_admin(connection, person)
        _change(connection, person, "deactivate", {"active": False}, by)


def activate(database: Database, name: str, *, by: str | None = None) -> None:
    """Give access back, with the password and the secret of before. Raises NotFound."""
    with database.write() as connection:
        _change(connection, _id_of(connection, name), "activate", {"active": True}, by)


def provisioning_uri(name: str, secret: str) -> str:
    """The ``otpauth://`` address that an authenticator app reads, for a QR code. It holds the secret."""
    return pyotp.TOTP(secret).provisioning_uri(name=_name(name), issuer_name="Voiceback")


def roles_of(written: str) -> frozenset[Role]:
    """Roles as they are stored; a word that is no role gives nothing."""
    known = {role.value for role in Role}
    return frozenset(Role(word) for word in written.split() if word in known)


def read_roles(words: Collection[str]) -> frozenset[Role]:
    """Roles as a person typed them. Raises :class:`InputError` that lists the roles there are."""
    known = {role.value for role in Role}
    if not words or not known.issuperset(words):
        raise InputError(f"roles are: {', '.join(sorted(known))}", code="role_unknown")
    return frozenset(Role(word) for word in words)


# --- signing in -------------------------------------------------------------------------------


def authenticate(
    database: Database,
    sealer: Sealer,
    name: str,
    password: str,
    code: str,
    now: datetime | None = None,
    *,
    source: str | None = None,
) -> Person | Refused:
    """Check name, password and one-time password together.

    The failure is counted before anything is checked, so that many tries at once gain nothing, and
    taken back when all is right (:mod:`bot.throttle`); while the name or its source is locked nothing is
    checked. A code works once. ``source`` is the visitor's IP address where it is known; only a keyed
    digest of it is kept. ``now`` is real time (tests hand it in).
    """
    now = now or wall_time()
    typed = normal_name(name)
    tried = throttle.keys(sealer, typed, source)
    with database.write() as connection:
        locked = throttle.take_try(connection, tried, now)
    if locked is not None:
        return Refused(locked)
    with database.read() as connection:
        row = _find(connection, typed)
    known = row is not None and row.active
    decoy = _decoy_hash()
    right_password = _is_password(password, row.password_hash if known and row else decoy)
    secret = _open_totp(sealer, row) if known and row else pyotp.random_base32()
    step = _step_of(secret, code, now)
    with database.write() as connection:
        if known and row and right_password and step and _use_step(connection, row.id, step):
            throttle.forgive(connection, tried, now)
            _renew_hash(connection, row, password)
            access.record(connection, row.id, "sign_in", "staff", row.id, now)
            return Person(row.id, row.name, roles_of(row.roles))
        return Refused(throttle.locked_for(connection, tried, now))


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step of a right code: the present one, the one before or the one after."""
    digits = "".join(character for character in code if not character.isspace())
    totp = pyotp.TOTP(secret, interval=_STEP)
    present = int(now.timestamp()) // _STEP
    found = None
    for step in (present - 1, present, present + 1):
        # Every step is compared, so that the time taken tells nothing.
        if hmac.compare_digest(totp.generate_otp(step).encode(), digits.encode("utf-8", "replace")):
            found = step
    return found


def _use_step(connection: Connection, staff_id: str, step: int) -> bool:
    """Spend a time step; False if it, or a later one, was spent already."""
    spend = update(_staff).where(_staff.c.id == staff_id, _staff.c.active, _staff.c.totp_step < step)
    return connection.execute(spend.values(totp_step=step)).rowcount == 1


# --- sessions ---------------------------------------------------------------------------------


def forget_old(database: Database, now: datetime | None = None) -> int:
    """Delete sessions that are over and failures that are forgiven; how many. Called by the clock."""
    now = now or wall_time()
    session = table(StaffSession)
    over = (session.c.seen_at <= now - IDLE) | (session.c.created_at <= now - LONGEST_SESSION)
    with database.write() as connection:
        ended = connection.execute(delete(session).where(over)).rowcount
        return ended + throttle.forget(connection, now)


def end_sessions(connection: Connection, staff_id: str) -> None:
    """End every session of a person."""
    session = table(StaffSession)
    connection.execute(delete(session).where(session.c.staff_id == staff_id))


# --- inside -----------------------------------------------------------------------------------


def _find(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(_staff).where(_staff.c.name == normal_name(name))).first()


def _id_of(connection: Connection, name: str) -> str:
    person = _find(connection, name)
    if person is None:
        raise NotFound("no such member of staff")
    return str(person.id)


def _change(
    connection: Connection, staff_id: str, action: str, values: Mapping[str, object], by: str | None
) -> None:
    """Change what somebody may do, or how they prove who they are: whoever is signed in as them no longer is."""
    connection.execute(update(_staff).where(_staff.c.id == staff_id).values(values))
    end_sessions(connection, staff_id)
    access.record(connection, by, action, "staff", staff_id, wall_time())


def _keep_an_admin(connection: Connection, staff_id: str) -> None:
    """Refuse to take the last active administrator away. All of them are locked meanwhile, so that two who take
    each other away do not both succeed."""
    rows = connection.execute(
        select(_staff.c.id, _staff.c.roles).where(_staff.c.active).order_by(_staff.c.id).with_for_update()
    )
    admins = {row.id for row in rows if Role.ADMIN in roles_of(row.roles)}
    if admins == {staff_id}:
        raise InputError("this is the last active administrator; make another one first", code="last_admin")


def normal_name(name: str) -> str:
    """One spelling of a name, as it is kept and looked for, whatever keyboard typed it."""
    return unicodedata.normalize("NFKC", name).strip().casefold()[:256]


def _name(name: str) -> str:
    known = normal_name(name)
    if not known or len(known) > _LONGEST_NAME or not known.isprintable():
        raise InputError(f"a name has 1 to {_LONGEST_NAME} printable characters", code="name_invalid")
    return known


def _password(password: str, name: str) -> str:
    if len(password) < PASSWORD_LENGTH:
        raise InputError(f"a password has at least {PASSWORD_LENGTH} characters", code="password_short")
    if len(password) > _LONGEST_PASSWORD:
        raise InputError(f"a password has at most {_LONGEST_PASSWORD} characters", code="password_long")
    if normal_name(password) == normal_name(name) or len(set(password)) < 4:
        raise InputError("this password is too easy to guess", code="password_weak")
    return password


def _written(roles: Collection[Role]) -> str:
    if not roles:
        raise InputError("a member of staff has at least one role", code="role_missing")
    return " ".join(sorted(roles))


def _seal_totp(sealer: Sealer, staff_id: str, secret: str) -> bytes:
    return sealer.seal_text(f"staff.totp_sealed:{staff_id}", secret, Purpose.STAFF)


def _open_totp(sealer: Sealer, row: Row[tuple[object, ...]]) -> str:
    return sealer.open_text(f"staff.totp_sealed:{row.id}", row.totp_sealed, Purpose.STAFF)


def _seal_email(sealer: Sealer, staff_id: str, email: str | None) -> bytes | None:
    if not email:
        return None
    local, at, domain = email.strip().partition("@")
    if not (local and at and "." in domain) or len(email) > 254 or not email.strip().isprintable():
        raise InputError("this is not an e-mail address", code="email_invalid")
    return sealer.seal_text(f"staff.email_sealed:{staff_id}", email.strip(), Purpose.STAFF)


def _normal_password(password: str) -> str:
    return unicodedata.normalize("NFKC", password[:_LONGEST_PASSWORD])


def _hash(password: str) -> str:
    return PasswordHasher().hash(_normal_password(password))


@lru_cache(maxsize=1)
def _decoy_hash() -> str:
    """A hash that no password has, so that a name that nobody has takes as long as a real one."""
    return _hash(new_id() + new_id())


def _is_password(password: str, hashed: str) -> bool:
    try:
        with _HASHING:
            return PasswordHasher().verify(hashed, _normal_password(password))
    except (VerificationError, InvalidHashError):
        return False


def _renew_hash(connection: Connection, row: Row[tuple[object, ...]], password: str) -> None:
    """Store the password with today's parameters, if it was hashed with older ones."""
    if PasswordHasher().check_needs_rehash(row.password_hash):
        connection.execute(update(_staff).where(_staff.c.id == row.id).values(password_hash=_hash(password)))
