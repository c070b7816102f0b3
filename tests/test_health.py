"""Whether the service can do its work, and why not."""

from __future__ import annotations

from datetime import timedelta

import requests

from bot import tick
from tests.journeys.world import World


def checks(world: World) -> dict[str, dict[str, object]]:
    """What /readyz tells, by name."""
    found = requests.get(world.url + "/readyz", timeout=10).json()["checks"]
    return {check["name"]: check for check in found}


def test_without_redis_and_clock_messages_are_still_taken_and_it_is_told(world: World) -> None:
    found = checks(world)
    assert found["database"]["ok"]
    assert not found["redis"]["ok"]
    assert not found["clock"]["ok"]
    assert "voiceback work" in str(found["clock"]["why"])
    assert requests.get(world.url + "/readyz", timeout=10).status_code == 200


def test_a_clock_that_beats_is_seen_and_one_that_stopped_too(world: World) -> None:
    tick.alive(world.service, tick.CLOCK)
    assert checks(world)["clock"]["ok"]
    world.pass_time(timedelta(minutes=1))
    assert not checks(world)["clock"]["ok"]


def test_metrics_count_and_name_nobody(sqlite_world: World) -> None:
    sqlite_world.network.text("+6281277788899", "They have not paid us since January, nobody helps us")
    sqlite_world.network.idle()
    text = requests.get(sqlite_world.url + "/metrics", timeout=10).text
    assert "voiceback_" in text
    assert "77788899" not in text
    assert "January" not in text
