"""Time as the simulator lives it: every waiting time is divided by the speed."""

from __future__ import annotations

import asyncio


class Pace:
    """Turns the world's seconds into real ones, and keeps the queue's calls per second."""

    def __init__(self, speed: float, calls_per_second: float) -> None:
        self.speed = speed
        self._gap = 1.0 / (calls_per_second * speed)
        self._next_slot = 0.0

    def real(self, seconds: float) -> float:
        """Real seconds for ``seconds`` of the world."""
        return seconds / self.speed

    def world(self, seconds: float) -> float:
        """Seconds of the world for real ``seconds``."""
        return seconds * self.speed

    async def rest(self, seconds: float) -> None:
        """Wait for ``seconds`` of the world."""
        await asyncio.sleep(self.real(seconds))

    def claim_slot(self) -> float:
        """The world's seconds until the next dial is allowed; claims that place in the queue."""
        present = asyncio.get_running_loop().time()
        slot = max(present, self._next_slot)
        self._next_slot = slot + self._gap
        return self.world(slot - present)
