"""Ports for what a test starts as a process of its own, or tells to somebody before it listens."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress

_FIRST, _SHARE, _SHARES = 10_000, 2_000, 10
"""Below 32768, from where on Linux takes the ports of connections that go out: between two tests at work one of those
would now and then have the port that was free a moment ago."""


def free_port() -> int:
    """A port that nobody has. Each worker of a test run (pytest-xdist) looks in a share of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = _FIRST + int(worker) % _SHARES * _SHARE
    for port in random.sample(range(first, first + _SHARE), _SHARE):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")
