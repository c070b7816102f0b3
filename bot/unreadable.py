"""A row that cannot be read, as one of a later version during an update: it keeps nobody else back.

What is to be done for many rows is done apart for each. One at which that fails is let be, the operator is told of
it once (:data:`bot.incidents.IncidentKind.UNREADABLE`), and after a while it is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, exists
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from bot import incidents
from bot.incidents import IncidentKind
from bot.storage.database import Database
from bot.storage.tables import Incident, table

log = structlog.get_logger()

_incident = table(Incident)

LOOK_AGAIN: Final = timedelta(minutes=10)
"""After so long what could not be read is tried again."""
MENDED: Final = timedelta(hours=1)
"""What could be read for so long, or is gone, is no incident any more."""


@contextmanager
def apart(step: str, row_id: str = "", then: Callable[[], object] | None = None) -> Iterator[None]:
    """Do something that others wait behind, and go on if it fails: the failure is logged, and ``then`` is done.

    A database that is away fails the whole, as ever: that is nothing of one row.
    """
    try:
        yield
    except SQLAlchemyError:
        raise
    except Exception as error:  # the error's text may hold what no log may; its kind is enough
        log.error("step_failed", step=step, row=row_id, error=type(error).__name__)
        if then is not None:
            then()


def tell(connection: Connection, row_id: str, now: datetime) -> None:
    """The operator is told of a row, or it is noted that it could still not be read."""
    with suppress(IntegrityError), connection.begin_nested():
        # Another clock may open the same incident at this moment; it is open then.
        incidents.begin(connection, IncidentKind.UNREADABLE, row_id, now)


def tell_in(database: Database, row_id: str, now: datetime) -> None:
    """The same, in a transaction of its own."""
    with database.write() as connection:
        tell(connection, row_id, now)


def forget(connection: Connection, now: datetime) -> None:
    """Close the incidents of rows that were read meanwhile."""
    incidents.close_quiet(connection, [IncidentKind.UNREADABLE], now - MENDED, now)


def may_be_read(row_id: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """The rows to try: those that could not be read a short while ago leave their places in a batch to others."""
    failed = (
        _incident.c.kind == IncidentKind.UNREADABLE,
        _incident.c.subject == row_id,
        _incident.c.resolved_at.is_(None),
        _incident.c.last_at > now - LOOK_AGAIN,
    )
    return ~exists().where(*failed)
