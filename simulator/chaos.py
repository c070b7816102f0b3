"""Chosen misfortune: what may go wrong with webhooks and REST calls, repeatable by its seed.

A decision depends on the seed, on what is decided, on the number concerned and on how often that has been
decided before, and on nothing else. So two runs with the same seed suffer alike for each number, however
their calls happen to interleave.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from simulator.errors import ConfigError


@dataclass(frozen=True)
class ChaosPlan:
    """Probabilities from 0 to 1. ``delay`` is a span in seconds, added to every webhook."""

    seed: int = 0
    duplicate: float = 0.0
    reorder: float = 0.0
    drop: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    error: float = 0.0
    error_before: float = 0.0
    hang: float = 0.0

    @classmethod
    def parse(cls, data: object) -> ChaosPlan:
        """The plan in decoded JSON, or :class:`ConfigError`."""
        if not isinstance(data, Mapping):
            raise ConfigError("chaos must be an object")
        known = {item.name for item in fields(cls)}
        for key, value in data.items():
            if key not in known:
                raise ConfigError(f"chaos: unknown key {key!r}")
            if key not in ("seed", "delay") and not _is_probability(value):
                raise ConfigError(f"chaos: {key} must be from 0 to 1")
        return cls(**{**dict(data), "delay": _span(data.get("delay", (0.0, 0.0)))})

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return {**asdict(self), "delay": list(self.delay)}


class Chaos:
    """Rolls the dice for a plan."""

    def __init__(self, plan: ChaosPlan) -> None:
        self.plan = plan
        self._counts: Counter[str] = Counter()

    def strikes(self, what: str, about: str) -> bool:
        """Whether misfortune ``what`` (a probability of the plan) meets ``about`` this time."""
        chance = float(getattr(self.plan, what))
        return chance > 0 and self._roll(what, about) < chance

    def delay(self, about: str) -> float:
        """Seconds by which a webhook is late."""
        low, high = self.plan.delay
        return low if high <= low else low + (high - low) * self._roll("delay", about)

    def _roll(self, what: str, about: str) -> float:
        key = f"{what}|{about}"
        self._counts[key] += 1
        digest = hashlib.sha256(f"{self.plan.seed}|{key}|{self._counts[key]}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def _is_probability(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _span(value: object) -> tuple[float, float]:
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        if isinstance(low, int | float) and isinstance(high, int | float) and 0 <= low <= high:
            return float(low), float(high)
    raise ConfigError("chaos: delay must be [shortest, longest] in seconds")
