"""Somebody at the desk, for the tests of cases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from bot.cases import actions, desk, queue
from bot.cases.actions import Action, Move
from bot.cases.desk import CaseDetail
from bot.cases.lifecycle import CaseState
from bot.cases.queue import Scope
from bot.clock import FrozenClock
from bot.privacy.seal import Sealer
from bot.storage.database import Database
from bot.storage.tables import Staff, table
from tests.cases.planting import Planted, plant

ME = "a" * 32
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Desk:
    """Somebody at the desk, who works on one case after the other."""

    def __init__(self, database: Database, sealer: Sealer, clock: FrozenClock) -> None:
        self.database, self.sealer, self.clock = database, sealer, clock

    def plant(self, **wishes: object) -> Planted:
        """A new case, received now."""
        return plant(self.database, self.sealer, self.clock.now(), **wishes)  # type: ignore[arg-type]  # passed on as they are

    def see(self, case: Planted) -> CaseDetail:
        """The page of a case."""
        with self.database.read() as connection:
            return desk.detail(connection, self.sealer, case.id, self.clock.now())

    def do(self, case: Planted, action: Action, version: int | None = None) -> CaseDetail:
        """Do something to a case, and see it again."""
        seen = self.see(case).version if version is None else version
        with self.database.write() as connection:
            actions.act(
                connection,
                self.sealer,
                case.id,
                action,
                staff_id=ME,
                version=seen,
                now=self.clock.now(),
            )
        return self.see(case)

    def walk(self, case: Planted, *states: CaseState) -> CaseDetail:
        """Move a case along, with a reason wherever one is asked for."""
        for state in states:
            self.do(case, Move(state, "because"))
        return self.see(case)

    def list(self, scope: Scope = Scope.OPEN, **wishes: object) -> queue.Page:
        """One page of the queue."""
        with self.database.read() as connection:
            return queue.read(connection, scope, self.clock.now(), staff_id=ME, **wishes)  # type: ignore[arg-type]  # passed on as they are


@pytest.fixture
def at_desk(database: Database, sealer: Sealer, frozen_clock: FrozenClock) -> Desk:
    """A supervisor at the desk."""
    me = {
        "id": ME,
        "name": "me",
        "password_hash": "x",
        "totp_sealed": b"x",
        "totp_step": 0,
        "roles": "supervisor",
        "active": True,
        "created_at": frozen_clock.now(),
    }
    with database.write() as connection:
        connection.execute(insert(table(Staff)).values(me))
    return Desk(database, sealer, frozen_clock)
