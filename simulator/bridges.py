"""A ``<Dial>`` to numbers: telephones ring for one caller, and the first to be picked up is joined with the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from simulator import twiml
from simulator.documents import Documents
from simulator.line import Line
from simulator.records import Call, now
from simulator.rooms import Room, Rooms

Params = tuple[tuple[str, str], ...]

# The one who dialled and the one who was dialled: whoever leaves ends it for both.
BOTH_ENDS = twiml.Conference("", end_on_exit=True, beep="false", wait_url="")


@dataclass(eq=False)
class Bridge:
    """The caller's ``line``, the ``room`` where both will meet, and the ``children`` that ring."""

    line: Line
    room: Room
    children: list[Call] = field(default_factory=list)
    chosen: Call | None = None
    joined: datetime | None = None
    redirected: bool = False
    waiting: bool = True

    def pick(self, child: Call) -> bool:
        """``child`` may be joined, if it is the first to get here."""
        if not self.waiting:
            return False
        self.waiting, self.chosen, self.joined = False, child, now()
        self.line.turn()
        return True

    def over(self) -> None:
        """A child has ended; when none is left that could be joined, the caller goes on."""
        if self.waiting and not any(child.live for child in self.children):
            self.waiting = False
            self.line.turn()

    def drop(self) -> None:
        """The caller goes on, or is gone."""
        self.waiting = False
        if self.room.status != "completed":
            self.room.close("last-participant-left")

    def outcome(self) -> Params:
        """What the ``action`` is told, https://www.twilio.com/docs/voice/twiml/dial#action."""
        child = self.chosen or self.children[-1]
        status = "completed" if self.chosen else "canceled" if child.live else child.status
        params = [("DialCallStatus", status), ("DialCallSid", child.sid)]
        params.append(("DialBridged", "true" if self.chosen else "false"))
        if not self.redirected:
            seconds = (now() - self.joined).total_seconds() if self.joined else 0.0
            params.append(("DialCallDuration", str(round(self.line.pace.world(seconds)))))
        return tuple(params)


class Exchange(Protocol):
    """What a call needs of the switchboard in order to be joined with others."""

    rooms: Rooms

    def ring(self, parent: Call, line: Line, verb: twiml.Dial, documents: Documents) -> Bridge:
        """Let the numbers of ``verb`` ring for ``parent``; :class:`TwimlError` for a wrong ``callerId``."""
        ...

    def release(self, bridge: Bridge) -> None:
        """Drop a bridge, and hang up the telephones that still ring for it."""
        ...
