"""A channel that is not set up spends nobody's attempts."""

from __future__ import annotations

from bot.callbacks.claim import Limits, claim_due
from bot.clock import wall_time
from tests.journeys.world import Worker, World


def test_a_callback_on_a_channel_that_is_off_waits(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    world.at("2026-03-03T18:01:00+07:00")
    service = world.service
    off = Limits(calls_per_second=10, slots=10, channels=("sms",))
    assert claim_due(service.database, service.clock.now(), wall_time(), off) == []
    assert world.callback()["state"] == "scheduled"
    assert world.dispositions() == []
