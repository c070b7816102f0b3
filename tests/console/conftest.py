"""A console with people, and cases with everything that must never be shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

import console
from bot import staff
from bot.clock import FrozenClock, wall_time
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.privacy.keys import Keyring
from bot.privacy.seal import Sealer
from bot.service import Service
from bot.settings import Settings
from bot.staff import Role
from bot.storage.database import Database
from bot.storage.tables import StaffSession, table
from tests.cases.planting import Planted, plant

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def flows() -> Library:
    """The real conversation flows."""
    return Library.open(ROOT / "flows")


@pytest.fixture
def service(
    database: Database, ring: Keyring, sealer: Sealer, frozen_clock: FrozenClock, flows: Library
) -> Service:
    """The heart, over an empty database."""
    return Service(
        settings=Settings.model_validate({}),
        database=database,
        keyring=ring,
        sealer=sealer,
        clock=frozen_clock,
        library=flows,
        catalogs=Catalogs.open(ROOT / "locales"),
    )


@pytest.fixture
def app(service: Service) -> Flask:
    """An application with the console and nothing else."""
    return make_app(service)


def make_app(service: Service) -> Flask:
    """An application with the console, over a service."""
    app = Flask("tests.console")
    app.extensions["voiceback"] = service
    console.register(app)
    return app


@pytest.fixture
def case(service: Service) -> Planted:
    """A case of a worker whose number, alias and words are canaries."""
    return plant(service.database, service.sealer, service.clock.now(), library=service.library)


@dataclass
class Visitor:
    """Somebody at the door, who clicks on what the pages offer."""

    app: Flask
    client: FlaskClient
    name: str = ""
    secret: str = ""

    def get(self, path: str) -> TestResponse:
        """Open a page."""
        return self.client.get(path)

    def token(self, path: str = "/console/sign-in") -> str:
        """The form token that a page carries."""
        return form_token(self.get(path).text)

    def send(self, page: str, path: str, **fields: str) -> TestResponse:
        """Send a form of ``page`` to ``path``, with the hidden fields that the page carries."""
        return self.client.post(path, data={**hidden(self.get(page).text), **fields})

    def sign_in(
        self, name: str, secret: str, password: str = PASSWORD, code: str | None = None
    ) -> TestResponse:
        """Fill in the form of the sign-in."""
        code = pyotp.TOTP(secret).now() if code is None else code
        return self.send(
            "/console/sign-in", "/console/sign-in", name=name, password=password, code=code, next=""
        )

    def cookies(self) -> dict[str, str]:
        """The cookies of the console that the visitor holds."""
        names = ("voiceback_session", "voiceback_visit")
        held = {name: self.client.get_cookie(name, path="/console") for name in names}
        return {name: cookie.value for name, cookie in held.items() if cookie is not None}


def form_token(page: str) -> str:
    """The first form token of a page; empty if it has none."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    return found[1] if found else ""


def hidden(page: str) -> dict[str, str]:
    """Token and version, as a page's forms carry them."""
    version = re.search(r'name="version" value="([^"]+)"', page)
    fields = {"csrf_token": form_token(page)}
    return fields | ({"version": version[1]} if version else {})


NewVisitor = Callable[[], Visitor]
SignedIn = Callable[..., Visitor]


@pytest.fixture
def visitor(app: Flask) -> NewVisitor:
    """Makes visitors who are not signed in."""
    return lambda: Visitor(app, app.test_client())


@pytest.fixture
def signed_in(app: Flask, service: Service) -> SignedIn:
    """Makes members of staff who are signed in: ``signed_in(Role.SUPERVISOR)``."""

    def make(*roles: Role, name: str = "") -> Visitor:
        name = name or "-".join(roles)
        secret = staff.add(service.database, service.sealer, service.clock, name, PASSWORD, roles)
        visitor = Visitor(app, app.test_client(), name, secret)
        assert visitor.sign_in(name, secret).status_code == 303
        return visitor

    return make


Age = Callable[..., None]


@pytest.fixture
def age(database: Database) -> Age:
    """Makes all sessions older: ``age(seen=timedelta(...), created=timedelta(...))``."""

    def make(seen: timedelta = timedelta(), created: timedelta = timedelta()) -> None:
        now = wall_time()
        with database.write() as connection:
            connection.execute(
                update(table(StaffSession)).values(seen_at=now - seen, created_at=now - created)
            )

    return make


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What pages show does not depend on the database, whose tests are elsewhere: one kind is enough."""
    return sqlite_url
