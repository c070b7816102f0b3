"""Writers of one process at one SQLite file: they take turns, and turns that follow each other share one commit.

A commit waits for the disk, which takes longer than everything else about a small transaction. So whoever
ends a turn while others wait leaves the transaction open for them; the last one commits for all. Nobody
goes on before that commit, so what ``turn()`` promises is what a transaction of one's own would promise.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import RootTransaction
from sqlalchemy.exc import OperationalError

from bot.storage.dialect import begin_writing

_MOST_TURNS: Final = 32
"""Other processes wait for the file as long as a transaction is open, so one ends after so many turns."""
_PATIENCE_SECONDS: Final = 0.05
"""After so long whoever waits for the commit looks whether the next writer has gone away, and commits itself."""


@dataclass(slots=True)
class _Batch:
    """One open transaction and the turns that were taken in it."""

    connection: Connection
    transaction: RootTransaction
    turns: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None

    def part(self) -> AbstractContextManager[Any]:
        """What keeps a turn that fails apart from the others; the first has nobody before it to protect."""
        return self.connection.begin_nested() if self.turns else nullcontext()

    @property
    def is_open(self) -> bool:
        """Whether SQLite still holds the transaction: after some errors, such as a full disk, it drops it."""
        driver = self.connection.connection.driver_connection
        return isinstance(driver, sqlite3.Connection) and driver.in_transaction


class Turns:
    """The turns of one process's threads at the file of ``engine``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0
        self._batch: _Batch | None = None
        self._owner: int | None = None
        """The thread whose turn it is."""

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """A transaction: committed when the block has ended, without a trace if the block raises.

        Raises :class:`sqlalchemy.exc.OperationalError` if it could not be committed. A turn has no other
        turn inside it: RuntimeError, because it would wait for itself for ever.
        """
        if self._owner == threading.get_ident():
            raise RuntimeError("a write inside a write of the same thread")
        self._enter()
        self._owner = threading.get_ident()
        try:
            batch = self._batch or self._begin()
            try:
                with batch.part():
                    yield batch.connection
                batch.turns += 1
            finally:
                self._leave(batch)
        finally:
            self._owner = None
            self._turn.release()
        self._wait(batch)

    def _enter(self) -> None:
        with self._count:
            self._waiting += 1
        try:
            self._turn.acquire()
        finally:
            with self._count:
                self._waiting -= 1

    def _begin(self) -> _Batch:
        connection = self._engine.connect()
        try:
            self._batch = _Batch(connection, begin_writing(connection))
        except BaseException:
            connection.close()
            raise
        return self._batch

    def _leave(self, batch: _Batch) -> None:
        """Commit, unless somebody waits who will."""
        if not (batch.turns and batch.is_open and self._waiting and batch.turns < _MOST_TURNS):
            self._end(batch)

    def _end(self, batch: _Batch) -> None:
        self._batch = None
        try:
            if batch.turns and not batch.is_open:
                raise sqlite3.OperationalError("the transaction was dropped")
            if batch.turns:
                batch.transaction.commit()
        except Exception as error:  # every turn of the batch has to hear of it, whatever it is
            batch.failure = error
            # A commit that failed may leave the transaction open; the connection is not used again.
            batch.connection.invalidate()
        finally:
            # Closing rolls back whatever was not committed.
            batch.connection.close()
            batch.done.set()

    def _wait(self, batch: _Batch) -> None:
        while not batch.done.wait(_PATIENCE_SECONDS):
            with self._turn:
                if self._batch is batch:
                    self._end(batch)
        if batch.failure is not None:
            raise OperationalError("COMMIT", {}, batch.failure, hide_parameters=True) from None
