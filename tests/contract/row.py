"""What a channel must say of itself so that the one harness (``test_contract.py``) can try it.

A new channel is one module here that holds a :class:`Row`, and its name in ``test_contract.ROWS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from bot.messages import Channel
from tests.journeys.world import World


@dataclass(frozen=True)
class Sending:
    """One webhook, ready to be posted: path with query, body, and headers with its signature."""

    path: str
    body: bytes
    headers: Mapping[str, str]

    def post(self, world: World) -> requests.Response:
        """Post it to the world's service."""
        return requests.post(world.url + self.path, data=self.body, headers=dict(self.headers), timeout=30)


@dataclass(frozen=True)
class Failure:
    """A provider's error, and what must come of it.

    ``at_once`` comes in the answer to our request, otherwise later in a report. ``state`` is the outbox row's
    in the end; ``incident`` its kind, or None if nobody need be told; ``stopped``: the worker is on the stop list.
    """

    code: int
    at_once: bool
    state: str
    incident: str | None = None
    stopped: bool = False


@dataclass(frozen=True)
class Wired:
    """Where the wire to the provider can be cut: the setting of its address, and the words of the request that sends."""

    setting: str
    marker: bytes
    hurry: Callable[[pytest.MonkeyPatch], None]
    """Make our patience with a silent provider short."""
    most: int = 1
    """How often at most a message of unknown fate is seen by the worker."""


def nothing_outside() -> AbstractContextManager[Mapping[str, Any]]:
    """Nothing beside the simulator."""
    return nullcontext({})


@dataclass(frozen=True)
class Row:
    """One channel in the table."""

    channel: Channel
    sender: Any
    """Who writes, in the provider's own form."""
    text: Callable[[World, str, int], Sending]
    """A true webhook of a text; equal numbers are the same message told twice."""
    media: Callable[[World, int], Sending]
    """A true webhook of a voice note with a caption."""
    raw: Callable[[World, bytes], Sending]
    """A webhook with any body, signed as well as such a body can be."""
    forged: Callable[[Sending], Sending]
    """The same with a wrong signature."""
    unsigned: Callable[[Sending], Sending]
    """The same without a signature."""
    sent: Callable[[World], list[str]]
    """What reached the worker's screen, oldest first."""
    fail: Callable[[World, Failure], None]
    """From now on the provider fails so."""
    failures: tuple[Failure, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the world in which the channel is on."""
    outside: Callable[[], AbstractContextManager[Mapping[str, Any]]] = nothing_outside
    """What the channel needs beside the simulator; gives more settings for as long as it runs."""
    wired: Wired | None = None
    """None while nothing is sent over a wire of its own."""
    status_path: str | None = None
    """Where reports come in, if the provider makes any."""
    report: Callable[[World, str, str, str], Sending] | None = None
    """A true report about our message: its id, the provider's id of it, and the status in the provider's word."""
    tap: Callable[[World, int], None] | None = None
    """The worker taps the option of this index under the newest question; None if there is nothing to tap."""

    voice_note: Callable[[World], None] | None = None
    """A voice note of the simulator's leaves the worker's telephone, as it really would; None where there are none."""

    def __str__(self) -> str:
        return self.channel.value
