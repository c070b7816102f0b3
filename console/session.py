"""Sessions of the console, kept in the database.

The cookie of somebody who is signed in holds a random token, of which the table has only the SHA-256.
Somebody who is not has no row, so that visitors cannot fill the table: the little that the sign-in
form needs travels in a signed cookie of its own. Times are real times.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import timedelta
from typing import Any, Final

from flask import Flask, Request, Response, abort, g
from flask.sessions import SecureCookieSession, SessionInterface, SessionMixin
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import delete, insert, select, update

from bot.clock import wall_time
from bot.privacy.keys import Keyring, Purpose
from bot.service import Service
from bot.staff import IDLE, LONGEST_SESSION, Person, roles_of
from bot.storage.tables import Staff, StaffSession, table

_TOUCH: Final = timedelta(minutes=1)
"""How often the use of a session is noted; a write for every page would be too many."""
_VISIT_SECONDS: Final = int(LONGEST_SESSION.total_seconds())
_session, _staff = table(StaffSession), table(Staff)


class ConsoleSession(SecureCookieSession):
    """What is known of one visitor. ``person`` is set for somebody who is signed in."""

    def __init__(
        self, data: dict[str, Any] | None = None, token: str | None = None, person: Person | None = None
    ) -> None:
        super().__init__(data)
        self.token = token
        self.person = person
        self.fresh = False
        self.ended = False
        self.stale = False


class ConsoleSessions(SessionInterface):
    """Flask's way to our sessions; outside of the console there are none."""

    def open_session(self, app: Flask, request: Request) -> ConsoleSession | None:
        """The visitor's session; None (which Flask turns into a closed one) outside of the console's pages."""
        if not request.path.startswith("/console") or request.path.startswith("/console/static/"):
            return None
        service: Service = app.extensions["voiceback"]
        token = request.cookies.get(_cookie(service))
        found = _find(service, token) if token else None
        if found is None:
            found = ConsoleSession(_read_visit(service, request.cookies.get(_cookie(service, "visit"), "")))
        g.console_session = found
        return found

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep what changed and set the cookies that belong to it."""
        if not isinstance(session, ConsoleSession):
            return
        service: Service = app.extensions["voiceback"]
        if session.ended:
            response.delete_cookie(_cookie(service), **_attributes(service))
        elif session.token is not None:
            _keep(service, session)
            if session.fresh:
                response.set_cookie(_cookie(service), session.token, **_attributes(service))
                response.delete_cookie(_cookie(service, "visit"), **_attributes(service))
        elif session.modified:
            signed = _signer(service.keyring).dumps(dict(session))
            value = signed if isinstance(signed, str) else signed.decode("ascii")
            response.set_cookie(_cookie(service, "visit"), value, **_attributes(service))


def present() -> ConsoleSession | None:
    """The session of the request that is being answered; None outside of the console's pages."""
    found: ConsoleSession | None = g.get("console_session")
    return found


def person() -> Person | None:
    """Who is asking; None for somebody who is not signed in."""
    session = present()
    return session.person if session is not None else None


def staff() -> Person:
    """Who is asking, on pages that the policy gives to people who are signed in only."""
    found = person()
    if found is None:
        abort(401)
    return found


def leave_untouched() -> None:
    """This request is no use of the session: a page asked by itself, and nobody may sit in front of it."""
    session = present()
    if session is not None:
        session.stale = False


def begin(service: Service, session: ConsoleSession, person: Person) -> None:
    """Sign a person in: a new row and a new token, whatever cookie the visitor came with."""
    end(service, session)
    session.clear()
    now = wall_time()
    session.token, session.person = secrets.token_urlsafe(32), person
    session.fresh, session.ended, session.stale = True, False, False
    row = {
        "id": _digest(session.token),
        "staff_id": person.id,
        "data": "{}",
        "created_at": now,
        "seen_at": now,
    }
    with service.database.write() as connection:
        connection.execute(insert(_session).values(row))


def end(service: Service, session: ConsoleSession) -> None:
    """Sign out: the row is gone, and with it every copy of the cookie."""
    if session.token is not None:
        with service.database.write() as connection:
            connection.execute(delete(_session).where(_session.c.id == _digest(session.token)))
    session.clear()
    session.token, session.person, session.ended = None, None, True


def _find(service: Service, token: str) -> ConsoleSession | None:
    now = wall_time()
    query = select(_session, _staff.c.name, _staff.c.roles).join(_staff, _session.c.staff_id == _staff.c.id)
    query = query.where(_session.c.id == _digest(token), _staff.c.active)
    with service.database.read() as connection:
        row = connection.execute(query).first()
    if row is None or now - row.seen_at >= IDLE or now - row.created_at >= LONGEST_SESSION:
        return None
    person = Person(row.staff_id, row.name, roles_of(row.roles))
    session = ConsoleSession(json.loads(row.data), token, person)
    session.stale = now - row.seen_at >= _TOUCH
    return session


def _keep(service: Service, session: ConsoleSession) -> None:
    if session.token is None or not (session.modified or session.stale):
        return
    values = {"data": json.dumps(dict(session)), "seen_at": wall_time()}
    with service.database.write() as connection:
        connection.execute(update(_session).where(_session.c.id == _digest(session.token)).values(values))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _signer(ring: Keyring) -> URLSafeTimedSerializer:
    # Oldest key first: the newest signs, the older ones still open.
    keys = [key for _, key in ring.keys[Purpose.SESSION]]
    return URLSafeTimedSerializer(keys, salt="console visit", signer_kwargs={"digest_method": hashlib.sha256})


def _read_visit(service: Service, value: str) -> dict[str, Any]:
    try:
        data = _signer(service.keyring).loads(value, max_age=_VISIT_SECONDS)
    except BadSignature:
        return {}
    return data if isinstance(data, dict) else {}


def _cookie(service: Service, name: str = "session") -> str:
    # A __Host- cookie cannot be planted by another host of the same domain, nor over plain HTTP.
    return f"__Host-voiceback_{name}" if _is_https(service) else f"voiceback_{name}"


def _attributes(service: Service) -> dict[str, Any]:
    https = _is_https(service)
    path = "/" if https else "/console"
    return {"httponly": True, "samesite": "Strict", "secure": https, "path": path}


def _is_https(service: Service) -> bool:
    return service.settings.console_url.startswith("https://")
