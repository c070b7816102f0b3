"""What goes wrong, when: a list that a seed makes, and makes again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """One way in which something goes wrong."""

    KILL_WORKER = "kill -9 a worker"
    KILL_CLOCK = "kill -9 a clock"
    KILL_WORK = "kill -9 `work`"
    KILL_WEB = "kill -9 the web"
    KILL_WEB_WORKER = "kill -9 a web process"
    PAUSE_WORKER = "a worker stands still until its leases are over"
    PAUSE_CLOCK = "a clock stands still until its leases are over"
    FLUSH_REDIS = "Redis is emptied"
    KILL_REDIS = "kill -9 Redis"
    PAUSE_REDIS = "Redis stands still"
    LOCK_DATABASE = "the database is locked"
    CRASH_DATABASE = "the database crashes"
    ERROR = "provider: 500 after the deed"
    ERROR_BEFORE = "provider: 503 without it"
    HANG = "provider: no answer"
    REFUSE = "provider: too many requests"
    DUPLICATE = "webhooks twice"
    REORDER = "webhooks out of order"
    DROP = "webhooks lost"
    DELAY = "webhooks late"
    CLOCK_FORWARD = "the service's clock jumps forward"
    CLOCK_BACK = "the service's clock jumps back"
    WALL_FORWARD = "the machine's clock jumps forward"
    WALL_BACK = "the machine's clock jumps back"


WEIGHTS: Final = {
    Kind.KILL_WORKER: 16,
    Kind.KILL_CLOCK: 8,
    Kind.KILL_WORK: 3,
    Kind.KILL_WEB: 3,
    Kind.KILL_WEB_WORKER: 3,
    Kind.PAUSE_WORKER: 5,
    Kind.PAUSE_CLOCK: 4,
    Kind.FLUSH_REDIS: 8,
    Kind.KILL_REDIS: 4,
    Kind.PAUSE_REDIS: 3,
    Kind.LOCK_DATABASE: 5,
    Kind.CRASH_DATABASE: 3,
    Kind.ERROR: 6,
    Kind.ERROR_BEFORE: 5,
    Kind.HANG: 6,
    Kind.REFUSE: 4,
    Kind.DUPLICATE: 5,
    Kind.REORDER: 5,
    Kind.DROP: 5,
    Kind.DELAY: 4,
    Kind.CLOCK_FORWARD: 4,
    Kind.CLOCK_BACK: 5,
    Kind.WALL_FORWARD: 8,
    Kind.WALL_BACK: 2,
}
"""How often each comes. What takes seconds to come back from is rarer, so that there is something to hit."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. ``strength`` (0 to 1) means what its kind makes of it: how long, how far, how likely."""

    n: int
    kind: Kind
    strength: float
    choice: int
    """Which of several it meets."""
    after: float
    """Seconds since the one before."""


def schedule(seed: int, count: int, database: str) -> list[Fault]:
    """So many faults, always the same ones for a seed and a kind of database (``sqlite`` or ``postgresql``)."""
    chance = random.Random(f"{seed}|{database}")  # noqa: S311 - to be repeated, not to be secret
    kinds = [kind for kind in Kind if database == "postgresql" or kind is not Kind.CRASH_DATABASE]
    # Each kind comes once before any comes by chance, as far as there is room.
    first = chance.sample(kinds, len(kinds))
    drawn = chance.choices(kinds, [WEIGHTS[kind] for kind in kinds], k=count)
    chosen = (first + drawn)[:count]
    chance.shuffle(chosen)
    return [
        Fault(n, kind, chance.random(), chance.randrange(1_000_000), chance.uniform(0.1, 0.7))
        for n, kind in enumerate(chosen)
    ]
