"""Texts go out once, in order, and in doubt the provider is asked before anything is sent again."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from bot import letters, outbox
from bot.clock import wall_time
from bot.messages import Channel
from bot.storage import tables
from channels import jobs
from tests.journeys.world import Worker, World

WORKER = "+6281200000009"
LONG = "They have not paid us since January and nobody in the office wants to talk with us about it"


def states(world: World) -> list[str]:
    """How far each text of ours came, oldest first."""
    return [row.state for row in world.rows(tables.Outbox)]


def statuses(world: World) -> list[str | None]:
    """What the provider said last of each text of ours, oldest first."""
    return [row.status for row in world.rows(tables.Message) if row.direction == "out"]


def claim(world: World) -> list[str]:
    """One clock takes the texts that are due."""
    return outbox.claim(world.service.database, Channel.SMS, 50, world.clock.now(), wall_time(), 10)


def write(world: World, text: str) -> None:
    """A worker writes, and the answer waits in the outbox."""
    world.network.text(WORKER, text)
    world.network.idle()


def test_an_answer_reaches_the_worker_and_its_delivery_is_known(world: World) -> None:
    write(world, LONG)
    world.run()
    assert len(world.network.texts_to(WORKER)) == 1
    assert statuses(world) == ["delivered"]


def test_texts_to_one_worker_arrive_in_order(world: World) -> None:
    for text in (LONG, "yes", "1"):
        write(world, text)
    first = world.beat()
    assert sum(len(work.ids) for work in first) == 1
    world.run()
    sent = world.network.texts_to(WORKER)
    kept = [text for direction, text in world.transcript() if direction == "out"]
    assert sent == kept


def test_a_job_that_runs_twice_sends_once(world: World) -> None:
    write(world, LONG)
    (work,) = world.beat()
    jobs.deliver(*work.ids)
    world.run()
    assert len(world.network.texts_to(WORKER)) == 1


@pytest.mark.parametrize("chaos", ["hang", "error"])
def test_a_text_whose_sending_is_in_doubt_is_asked_about_and_not_sent_again(world: World, chaos: str) -> None:
    world.network.post("/sim/chaos", {chaos: 1.0, "drop": 0.0})
    write(world, LONG)
    world.beat()
    world.network.post("/sim/chaos", {})
    world.network.idle()
    world.rest()
    assert len(world.network.texts_to(WORKER)) == 1
    assert states(world) == ["sent"]


def test_a_text_that_the_provider_never_took_is_sent_again_once(world: World) -> None:
    world.network.post("/sim/chaos", {"error_before": 1.0})
    write(world, LONG)
    world.beat()
    assert states(world) == ["unknown"]
    world.network.post("/sim/chaos", {})
    world.rest()
    assert len(world.network.texts_to(WORKER)) == 1
    assert states(world) == ["sent"]


def test_nothing_overtakes_a_text_in_doubt(world: World) -> None:
    world.network.post("/sim/chaos", {"error_before": 1.0})
    write(world, LONG)
    world.beat()
    world.network.post("/sim/chaos", {})
    write(world, "yes")
    assert world.beat() == []
    world.rest()
    kept = [text for direction, text in world.transcript() if direction == "out"]
    assert world.network.texts_to(WORKER) == kept


def test_too_many_requests_are_tried_again(sqlite_world: World) -> None:
    world = sqlite_world
    world.network.post("/sim/errors", number=WORKER, create=20429)
    write(world, LONG)
    world.beat()
    assert states(world) == ["queued"]
    world.network.post("/sim/errors", number=WORKER)
    world.pass_time(timedelta(seconds=10))
    world.run()
    assert len(world.network.texts_to(WORKER)) == 1


def test_a_phone_that_is_off_is_tried_again_three_times_over_hours(sqlite_world: World) -> None:
    world = sqlite_world
    world.network.post("/sim/errors", number=WORKER, message=30003)
    write(world, LONG)
    world.run()
    for _ in range(6):
        world.pass_time(timedelta(hours=2, minutes=1))
        world.run()
    assert len(world.network.texts_to(WORKER)) == 3
    assert ("delivery", "sms 30003") in world.incidents()


def test_a_phone_that_is_on_again_gets_its_text(sqlite_world: World) -> None:
    world = sqlite_world
    world.network.post("/sim/errors", number=WORKER, message=30003)
    write(world, LONG)
    world.run()
    world.network.post("/sim/errors", number=WORKER)
    world.pass_time(timedelta(hours=2, minutes=1))
    world.run()
    assert statuses(world) == ["delivered"]


def test_a_number_that_blocked_us_is_a_stop(sqlite_world: World) -> None:
    world = sqlite_world
    world.network.post("/sim/errors", number=WORKER, create=21610)
    world.interviewed(Worker(number=WORKER, script="busy"))
    write(world, LONG)
    world.run()
    assert [row.reason for row in world.rows(tables.Stop)] == ["provider"]
    assert world.callback()["state"] == "stopped"


def test_a_refused_configuration_is_told_to_the_operator(sqlite_world: World) -> None:
    world = sqlite_world
    world.network.post("/sim/errors", number=WORKER, create=21606)
    write(world, LONG)
    world.run()
    assert ("provider", "sms 21606") in world.incidents()
    assert states(world) == ["failed"]


def test_a_status_never_goes_backwards(world: World) -> None:
    write(world, LONG)
    world.run()
    report = world.hits_at("/channels/sms/status")[-1]
    for status in ("queued", "sending", "sent", "failed", "undelivered"):
        assert world.signed(report.target, {**report.form, "MessageStatus": status}).status_code == 204
    assert statuses(world) == ["delivered"]
    assert len(world.network.texts_to(WORKER)) == 1


def test_a_report_about_a_text_that_is_not_ours_changes_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, LONG)
    world.run()
    report = world.hits_at("/channels/sms/status")[-1]
    assert parse_qs(urlsplit(report.target).query)["m"]
    counts = world.counts()
    forged = {**report.form, "MessageStatus": "failed", "ErrorCode": "21610"}
    assert world.signed(f"/channels/sms/status?m={'0' * 32}", forged).status_code == 204
    assert world.counts() == counts
    assert statuses(world) == ["delivered"]


def test_a_lease_that_ran_out_before_sending_is_given_to_another_worker(world: World) -> None:
    write(world, LONG)
    assert claim(world)
    assert world.beat() == []
    world.pass_time(timedelta(seconds=61))
    world.run()
    assert len(world.network.texts_to(WORKER)) == 1


def test_a_worker_that_dies_while_it_sends_leaves_a_text_in_doubt(world: World) -> None:
    write(world, LONG)
    (outbox_id,) = claim(world)
    with world.service.database.write() as connection:
        assert letters.begin(connection, world.service.sealer, [outbox_id], world.clock.now(), wall_time())
    world.pass_time(timedelta(seconds=61))
    world.rest()
    assert len(world.network.texts_to(WORKER)) == 1
