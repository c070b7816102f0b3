"""SQLite as we begin its transactions: SQLAlchemy's own way, but for what a transaction starts with.

Python's driver would begin one only before the first change, so it is told to begin none. A listener for that would
have SQLAlchemy look for listeners around every statement; a dialect is asked once for each transaction.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import URL, Connection
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import RootTransaction
from sqlalchemy.pool import PoolProxiedConnection

_NAME: Final = "voiceback"
_WRITES: Final = "voiceback_writes"


class Beginning(SQLiteDialect_pysqlite):
    """A transaction is there from its beginning: one that reads sees one state, one that writes has its turn."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin in the database, for writing if :func:`begin_writing` said so."""
        writes = dbapi_connection.info.pop(_WRITES, False)
        cursor = dbapi_connection.cursor()
        cursor.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        cursor.close()


def use(url: URL) -> URL:
    """The same address of an SQLite database, opened with this dialect."""
    registry.register(f"sqlite.{_NAME}", __name__, Beginning.__name__)
    return url.set(drivername=f"sqlite+{_NAME}")


def begin_writing(connection: Connection) -> RootTransaction:
    """Begin a transaction that has the right to write at once, instead of asking for it in the middle.

    Raises :class:`sqlalchemy.exc.OperationalError` if another process keeps it for too long.
    """
    connection.connection.info[_WRITES] = True
    return connection.begin()
