"""The plain servers that ours is compared with: a Flask route that does nothing, and ones that only insert.

One commits each request by itself, the other through our own ``Database.write()``, which on SQLite lets
requests share a commit.

They run under the very arguments that ``voiceback serve`` gives to granian, because it is that command
which starts them: only the name of the application is exchanged.
"""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import granian
from flask import Flask, Response
from sqlalchemy import Column, Connection, LargeBinary, MetaData, String, Table, insert

from bot.ids import new_id
from bot.storage.database import open_database
from bot.storage.dialect import begin_writing
from bot.storage.types import UTCDateTime

NOTHING = "/nothing"
INSERTS = "/inserts"
SHARED = "/shared"
ROWS = "BENCHMARK_ROWS"
"""The environment variable with the number of inserts in each transaction."""
BODY = bytes(160)
"""As long as a sealed text: 14 bytes of header, 128 of text, 16 of tag."""

_GRANIAN = granian.Granian

metadata = MetaData()
plain = Table(
    "plain",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)
_INSERT = insert(plain)


def create_app() -> Flask:
    """The contender's application, on the database of ``DATABASE_URL`` opened as our own server opens it."""
    database = open_database(os.environ["DATABASE_URL"])
    rows = int(os.environ[ROWS])
    # SQLite has one writer: in order on a lock, threads are quicker than when they poll for the file.
    turns = threading.Lock() if database.dialect == "sqlite" else nullcontext()
    app = Flask(__name__, static_folder=None)

    @app.get("/healthz")
    def alive() -> Response:
        return Response("ok")

    @app.post(NOTHING)
    def nothing() -> Response:
        return Response("", mimetype="text/xml")

    def write(connection: Connection) -> Response:
        now = datetime.now(UTC)
        for _ in range(rows):
            connection.execute(_INSERT, {"id": new_id(), "body": BODY, "created_at": now})
        return Response("", mimetype="text/xml")

    @app.post(INSERTS)
    def inserts() -> Response:
        with turns, database.engine.connect() as connection, begin_writing(connection):
            return write(connection)

    @app.post(SHARED)
    def shared() -> Response:
        with database.write() as connection:
            return write(connection)

    return app


def _exchanged(_target: str, **arguments: Any) -> Any:
    return _GRANIAN("benchmarks.contender:create_app", **arguments)


def main() -> None:
    """``voiceback serve`` with the application exchanged."""
    import sys

    import cli

    vars(granian)["Granian"] = _exchanged
    sys.argv[1:1] = ["serve"]
    cli.main()


if __name__ == "__main__":
    main()
