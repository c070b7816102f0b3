"""Whose word our connections take for who is at the other end."""

from __future__ import annotations

import ssl
from functools import lru_cache


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """The certificates of the machine, read once: reading them takes longer than sending a message."""
    return ssl.create_default_context()
