"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_FIRST: Final = timedelta(seconds=5)
_LONGEST: Final = timedelta(hours=1)
_DOUBLINGS: Final = 16
"""More would only make numbers large: an hour is reached long before."""


def delay(tries: int) -> timedelta:
    """The wait after so many tries: five seconds, doubling, an hour at most."""
    doubled: timedelta = _FIRST * 2 ** min(max(0, tries - 1), _DOUBLINGS)
    return min(doubled, _LONGEST)
