"""The access log: who read what, in a chain of hashes that shows any later edit or drop.

Rows are written when something is read, without a place in the chain. The clock seals them in
batches: each row gets the next number and the hash of the previous hash and its own content. Whoever
can write to the database could make the whole chain anew, so the head of the chain leaves the
database from time to time (``voiceback verify-log`` prints it); a chain that does not hold an earlier
head, cut at its tail or made anew, is found out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Row, func, insert, select, text, update

from bot.ids import new_id
from bot.storage.tables import AccessLog, table

GENESIS = "0" * 64
"""The hash before the first row."""
_BATCH = 1000
_LOCK = 0x766F6963
"""PostgreSQL's advisory lock of the chain; any number that nobody else of ours uses."""


class Flaw(StrEnum):
    """What can be wrong with the chain."""

    EDITED = "edited"
    """The row is not what was sealed, or what was sealed before it has changed."""
    MISSING = "missing"
    """The number has no row: it was dropped."""
    CUT = "cut"
    """A head that was kept outside is not in the chain: its tail was cut, or it was made anew."""


@dataclass(frozen=True, slots=True)
class Head:
    """A place of the chain, to be kept outside of the database."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw, at one number of the chain."""

    flaw: Flaw
    seq: int


def record(
    connection: Connection, staff_id: str | None, action: str, object_kind: str, object_id: str, at: datetime
) -> None:
    """Note that ``staff_id`` did ``action`` to an object, in the caller's transaction.

    Only ids and codes: ``action`` and ``object_kind`` have at most 32 characters. ``at`` is aware, real time.
    """
    row = {
        "id": new_id(),
        "at": at,
        "staff_id": staff_id,
        "action": action,
        "object_kind": object_kind,
        "object_id": object_id,
    }
    connection.execute(insert(table(AccessLog)).values(row))


def seal_batch(connection: Connection, limit: int = _BATCH) -> int:
    """Chain up to ``limit`` rows that are not sealed yet, oldest first; how many there were.

    Called by the clock in a write transaction. Two clocks at once take turns: on SQLite by the
    transaction itself, on PostgreSQL by an advisory lock that lasts until the commit.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    log = table(AccessLog)
    rows = connection.execute(select(log).where(log.c.seq.is_(None)).order_by(log.c.id).limit(limit)).all()
    last = head(connection) or Head(0, GENESIS)
    for row in rows:
        last = Head(last.seq + 1, _hash(last.hash, last.seq + 1, row))
        place = update(log).where(log.c.id == row.id, log.c.seq.is_(None))
        connection.execute(place.values(seq=last.seq, hash=last.hash))
    return len(rows)


def head(connection: Connection) -> Head | None:
    """The newest place of the chain, or None before the first row is sealed."""
    log = table(AccessLog)
    newest = select(func.max(log.c.seq)).scalar_subquery()
    row = connection.execute(select(log.c.seq, log.c.hash).where(log.c.seq == newest)).first()
    return Head(row.seq, row.hash) if row is not None else None


def verify(connection: Connection, heads: Iterable[Head] = ()) -> list[Finding]:
    """Walk the whole chain and return every flaw; an empty list means that nothing was changed.

    ``heads`` are places that were kept outside of the database. After an edit the walk goes on from
    the stored hash, so that each flaw is told once.
    """
    log = table(AccessLog)
    findings: list[Finding] = []
    kept = {place.seq: place.hash for place in heads}
    seq, previous = 0, GENESIS
    query = select(log).where(log.c.seq.is_not(None)).order_by(log.c.seq)
    for row in connection.execution_options(yield_per=_BATCH).execute(query):
        findings += [Finding(Flaw.MISSING, n) for n in range(seq + 1, row.seq)]
        # After a gap the previous hash is unknown: the gap is told, this row cannot be judged by it.
        if row.seq == seq + 1 and row.hash != _hash(previous, row.seq, row):
            findings.append(Finding(Flaw.EDITED, row.seq))
        if kept.pop(row.seq, row.hash) != row.hash:
            findings.append(Finding(Flaw.CUT, row.seq))
        seq, previous = row.seq, row.hash
    return findings + [Finding(Flaw.CUT, missing) for missing in sorted(kept)]


def _hash(previous: str, seq: int, row: Row[tuple[object, ...]]) -> str:
    content = [seq, row.id, row.at.isoformat(), row.staff_id, row.action, row.object_kind, row.object_id]
    canonical = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{previous}{canonical}".encode("ascii")).hexdigest()
