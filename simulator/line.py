"""The line of one call: what stands between the document that speaks and the person who holds the phone.

Keys and speech go in from a script or from the phone page; the interpreter waits here for them. A hang-up or
a new document from the REST API ends whatever is being waited for, so one task per call is enough.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from simulator.pace import Pace

# A person who has begun to speak or to type is waited for, but not for ever (seconds, real time).
LONGEST_BREATH = 180.0


@dataclass(frozen=True)
class Source:
    """Where the next document comes from: an address, or TwiML handed over by the REST API."""

    url: str | None = None
    method: str = "POST"
    twiml: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    is_fallback: bool = False


class HungUp(Exception):
    """The call was ended by the person or through the REST API."""


class Interrupted(Exception):
    """The REST API gave the call a new document."""

    def __init__(self, source: Source) -> None:
        self.source = source
        super().__init__("a new document")


class Turned(Exception):
    """What the call waits for or talks to has changed: a room has opened, closed, or put it on hold."""


@dataclass(frozen=True)
class Key:
    """A key was pressed."""

    symbol: str


@dataclass(frozen=True)
class Speech:
    """Something was said for ``seconds``; ``audio`` is a WAV from a microphone, if there was one."""

    text: str
    seconds: float
    audio: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PickUp:
    """The ringing phone is answered, by a ``human``, ``machine`` or ``fax``."""

    by: str = "human"


@dataclass(frozen=True)
class Decline:
    """The ringing phone is declined."""


@dataclass(frozen=True)
class Breath:
    """Nothing is said for ``seconds`` of a talk."""

    seconds: float


@dataclass(frozen=True)
class Leave:
    """The person hangs up once everything before this has been taken in."""


Input = Key | Speech | Breath | PickUp | Decline | Leave
Heard = Key | Speech | Breath | PickUp | Decline


class Line:
    """One call's line. All times are seconds of the world (see ``pace.py``)."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._inputs: deque[Input] = deque()
        self._wake = asyncio.Event()
        self._override: Source | None = None
        self._turned = False
        self.hung_up_by: str | None = None
        self.breathing = False

    def put(self, item: Input) -> None:
        """Something comes in from the phone."""
        self._inputs.append(item)
        self.breathing = False
        self._wake.set()

    def type(self, keys: str) -> None:
        """Press each key of ``keys``."""
        for symbol in keys:
            self.put(Key(symbol))

    def breathe(self, breathing: bool) -> None:
        """The person has begun (or given up) to speak: silence is not counted meanwhile."""
        self.breathing = breathing
        self._wake.set()

    def hang_up(self, by: str = "callee") -> None:
        """End the call; the first to hang up is remembered (``callee``, ``api``, ``limit``)."""
        self.hung_up_by = self.hung_up_by or by
        self._wake.set()

    def interrupt(self, source: Source) -> None:
        """Give the call another document in place of the one that runs."""
        self._override = source
        self._wake.set()

    def turn(self) -> None:
        """Wake whoever waits on this line for a room or for a phone that rings."""
        self._turned = True
        self._wake.set()

    def settle(self) -> None:
        """The call has left the room: what was meant for it is forgotten, a new document is not."""
        self._turned = False
        self._inputs.clear()

    def flush(self) -> None:
        """Forget keys that were pressed before anybody asked; a hang-up is not forgotten."""
        self._inputs = deque(item for item in self._inputs if isinstance(item, Leave))

    def check(self) -> None:
        """Raise :class:`HungUp`, :class:`Interrupted` or :class:`Turned` if one of them has happened."""
        if self.hung_up_by:
            raise HungUp
        if self._override is not None:
            source, self._override = self._override, None
            raise Interrupted(source)
        if self._turned:
            self._turned = False
            raise Turned

    async def next(self, seconds: float) -> Heard | None:
        """The next thing that comes in, or ``None`` after ``seconds`` of silence."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.pace.real(seconds)
        while True:
            self.check()
            if self._inputs:
                item = self._inputs.popleft()
                if not isinstance(item, Leave):
                    return item
                self.hang_up()
                continue
            left = LONGEST_BREATH if self.breathing else deadline - loop.time()
            if left <= 0:
                return None
            was_breathing = self.breathing
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                self.breathing = False
            if was_breathing and not self.breathing:
                deadline = loop.time() + self.pace.real(seconds)

    async def rest(self, seconds: float) -> None:
        """Let ``seconds`` pass; keys pressed meanwhile are lost, as they are between two verbs."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.pace.real(seconds)
        self.check()
        while (left := deadline - loop.time()) > 0:
            await self.next(self.pace.world(left))

    async def linger(self, seconds: float) -> None:
        """Let ``seconds`` pass; keys pressed meanwhile are kept for whoever asks next."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.pace.real(seconds)
        while (left := deadline - loop.time()) > 0:
            self.check()
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                break
        self.check()
