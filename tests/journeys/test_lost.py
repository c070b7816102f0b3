"""A text whose webhook never reached us is found in the provider's list, once, however long it took."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot import tick
from bot.storage import tables
from channels import jobs
from tests.journeys.world import HOTLINE, World, Worlds

WORKER = "+6281200000009"
OTHER = "+6281200000010"
LONG = "They have not paid us since January and nobody in the office wants to talk with us about it"
MORE = "And on Monday they took away our papers, all of us from the second floor"


@pytest.fixture
def polling(worlds: Worlds, sqlite_url: str) -> World:
    """A world that asks for lost texts every five minutes, and has begun to."""
    world = worlds(sqlite_url, poll_minutes=5, twilio_whatsapp_from=HOTLINE)
    world.run()
    return world


def go_by(world: World, minutes: float) -> None:
    """Time goes by here and at the provider."""
    by = timedelta(minutes=minutes)
    world.network.post("/sim/age", seconds=by.total_seconds())
    world.pass_time(by)


def lose(world: World, text: str, sender: str = WORKER, to: str = HOTLINE) -> str:
    """A worker writes, and the webhook is lost for good; gives the provider's id."""
    world.network.post("/sim/chaos", {"drop": 1.0})
    sid = world.network.text(sender, text, to)
    world.network.idle()
    world.network.post("/sim/chaos", {})
    return sid


def heard(world: World) -> list[str]:
    """What workers said, as far as we know, in order."""
    return [text for direction, text in world.transcript() if direction == "in"]


def test_a_lost_text_is_found_and_answered(polling: World) -> None:
    lose(polling, LONG)
    polling.run()
    assert heard(polling) == []
    go_by(polling, 6)
    polling.run()
    assert heard(polling) == [LONG]
    assert len(polling.network.texts_to(WORKER)) == 1
    assert ("lost", "sms") in polling.incidents()


def test_a_lost_answer_goes_on_with_its_conversation(polling: World) -> None:
    polling.network.text(WORKER, LONG)
    polling.network.idle()
    polling.run()
    go_by(polling, 1)
    lose(polling, "yes")
    go_by(polling, 6)
    polling.run()
    assert heard(polling) == [LONG, "yes"]
    assert len(polling.rows(tables.Conversation)) == 1
    assert len(polling.network.texts_to(WORKER)) >= 2


def test_a_text_that_was_found_is_not_found_again(polling: World) -> None:
    lose(polling, LONG)
    for _ in range(4):
        go_by(polling, 6)
        polling.run()
    assert heard(polling) == [LONG]
    (incident,) = [row for row in polling.rows(tables.Incident) if row.kind == "lost"]
    assert incident.count == 1


def test_a_webhook_that_comes_after_all_changes_nothing(polling: World) -> None:
    sid = lose(polling, LONG)
    go_by(polling, 6)
    polling.run()
    counts = polling.counts()
    polling.network.post("/sim/sms", {"repeat": sid})
    polling.network.idle()
    assert polling.counts() == counts


def test_a_text_that_came_by_its_webhook_is_not_counted_as_lost(polling: World) -> None:
    polling.network.text(WORKER, LONG)
    polling.network.idle()
    go_by(polling, 6)
    polling.run()
    assert heard(polling) == [LONG]
    assert not [row for row in polling.rows(tables.Incident) if row.kind == "lost"]


def test_a_text_of_just_now_is_left_to_its_webhook(polling: World) -> None:
    go_by(polling, 6)
    lose(polling, LONG)
    polling.run()
    assert heard(polling) == []


def test_after_an_outage_of_a_day_everything_is_found_in_its_order(polling: World) -> None:
    for text, hours in ((LONG, 5), (MORE, 8), ("yes", 13)):
        lose(polling, text)
        lose(polling, text, OTHER)
        go_by(polling, hours * 60)
    polling.run()
    kept = heard(polling)
    assert sorted(kept) == sorted([LONG, MORE, "yes"] * 2)
    assert kept.index(LONG) < kept.index(MORE) < kept.index("yes")


def test_what_lay_with_the_provider_before_we_began_is_not_ours_to_answer(sqlite_world: World) -> None:
    world = sqlite_world
    lose(world, LONG)
    world.network.post("/sim/age", seconds=3600)
    jobs.poll()
    world.pass_time(timedelta(minutes=1))
    jobs.poll()
    world.run()
    assert heard(world) == []


def test_an_early_answer_that_is_found_late_answers_no_later_question(polling: World) -> None:
    polling.network.text(WORKER, LONG)
    polling.network.idle()
    polling.run()
    go_by(polling, 1)
    lose(polling, "1")
    go_by(polling, 1)
    polling.network.text(WORKER, "yes")
    polling.network.idle()
    polling.run()
    before = [(row.id, row.answers, row.sprint) for row in polling.rows(tables.Conversation)]
    go_by(polling, 6)
    polling.run()
    assert "1" in heard(polling)
    assert [(row.id, row.answers, row.sprint) for row in polling.rows(tables.Conversation)] == before


def test_a_lost_whatsapp_message_is_found(polling: World) -> None:
    lose(polling, LONG, f"whatsapp:{WORKER}", f"whatsapp:{HOTLINE}")
    go_by(polling, 6)
    polling.run()
    assert heard(polling) == [LONG]
    assert ("lost", "whatsapp") in polling.incidents()


def test_a_provider_that_does_not_answer_hides_nothing(polling: World) -> None:
    lose(polling, LONG)
    go_by(polling, 6)
    polling.network.post("/sim/chaos", {"error": 1.0})
    polling.run()
    assert heard(polling) == []
    polling.network.post("/sim/chaos", {})
    go_by(polling, 60)
    polling.run()
    assert heard(polling) == [LONG]


def test_of_many_clocks_one_asks(polling: World) -> None:
    go_by(polling, 6)
    with ThreadPoolExecutor(4) as pool:
        beats = list(pool.map(lambda _: list(tick.beat(polling.service)), range(4)))
    assert sum(work.job == "poll" for beat in beats for work in beat) == 1


def test_with_the_setting_at_nought_nobody_asks(sqlite_world: World) -> None:
    assert sqlite_world.beat() == []
