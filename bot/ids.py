"""Opaque ids: the only names of people and things that may appear in logs, queues and addresses."""

from __future__ import annotations

import os
import threading
import time
from datetime import datetime

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new UUIDv7 (RFC 9562) as 32 hexadecimal digits: unguessable, and ordered by making.

    Ids of one process only ever rise, also within a millisecond, so that what was said first stands
    first. The order also keeps the index pages of large tables warm.
    """
    global _last  # noqa: PLW0603 - the one thing that makes ids of a process rise
    random = int.from_bytes(os.urandom(10), "big")
    made = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62
    made |= random & (1 << 62) - 1
    with _lock:
        if made <= _last:
            # A small random step leaves the next id as hard to guess as any other.
            made = _last + 1 + (random & 0xFFFF_FFFF)
        _last = made
    return f"{made:032x}"


def earliest(since: datetime) -> str:
    """The smallest id that can have been made since an instant of wall time, so that a primary key finds recent rows."""
    return f"{max(0, int(since.timestamp() * 1000)):012x}{'0' * 20}"
