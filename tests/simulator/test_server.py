"""Starting, stopping, remembering, and the control API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator import server
from simulator.config import parse_config
from simulator.errors import ConfigError
from simulator.scripts import PRESETS, parse_script
from simulator.world import World
from tests.ports import free_port
from tests.simulator.conftest import (
    HOTLINE,
    PATIENCE,
    WORKER,
    Customer,
    Page,
    Twilio,
    configuration,
    connect,
    eventually,
)

ROOT = Path(__file__).parents[2]


def test_the_world_survives_a_restart(customer: Customer, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    customer.pages["/voice"] = '<Record action="/done"/>'
    running = server.start(configuration(customer), state=state)
    twilio = connect(running.url)
    twilio.script({"steps": [{"speak": "halo", "hangup": True}]})
    sid = twilio.talk(url=customer.url + "/voice")["sid"]
    twilio.client.messages.create(to=WORKER, from_=HOTLINE, body="Halo")
    twilio.idle()
    before = twilio.get("/sim/state", parts="calls,messages,recordings,handsets")
    running.stop()
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    running = server.start(configuration(customer), state=state)
    try:
        after = connect(running.url)
        assert after.get("/sim/state", parts="calls,messages,recordings,handsets") == before
        assert after.client.calls(sid).fetch().status == "completed"
        assert len(after.client.recordings.list()) == 1
    finally:
        running.stop()


def test_a_call_that_was_going_on_has_failed_after_a_restart(customer: Customer, tmp_path: Path) -> None:
    running = server.start(configuration(customer, speed=1), state=tmp_path / "state.json")
    sid = connect(running.url).call(url=customer.url + "/voice")
    running.stop()
    running = server.start(configuration(customer), state=tmp_path / "state.json")
    try:
        assert connect(running.url).client.calls(sid).fetch().status == "failed"
    finally:
        running.stop()


def test_a_spoilt_state_file_is_refused(customer: Customer, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(ConfigError):
        server.start(configuration(customer), state=tmp_path / "state.json")


def test_what_changes_while_a_view_is_drawn_is_not_waited_for_until_something_else_changes(
    customer: Customer,
) -> None:
    async def watch(world: World) -> None:
        drawn = world.version
        waiting = asyncio.ensure_future(world.changed(drawn))
        world.touch()
        await asyncio.wait_for(waiting, 60)
        still = asyncio.ensure_future(world.changed(world.version))
        await asyncio.sleep(0)
        assert not still.done()
        world.touch()
        await asyncio.wait_for(still, 60)

    asyncio.run(watch(World(parse_config(configuration(customer)))))


def answers(url: str) -> bool:
    try:
        return requests.get(url + "/healthz", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_stops_on_a_signal_saves_and_never_logs_a_number(
    customer: Customer, tmp_path: Path, number: signal.Signals
) -> None:
    config, state, log = tmp_path / "config.json", tmp_path / "state.json", tmp_path / "log"
    config.write_text(json.dumps(configuration(customer)))
    port = free_port()
    command = [sys.executable, "-m", "simulator", "--config", str(config), "--port", str(port)]
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [*command, "--state", str(state)], cwd=ROOT, stdout=out, stderr=out, env={**os.environ}
        ) as process,
    ):
        twilio = connect(f"http://127.0.0.1:{port}")
        eventually(lambda: answers(twilio.url))
        customer.pages["/voice"] = Page(status=500)
        twilio.script("human-yes")
        twilio.talk(url=customer.url + "/voice")
        requests.get(twilio.url + "/nowhere/" + WORKER, timeout=PATIENCE)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    assert WORKER in state.read_text()
    assert WORKER not in log.read_text()


def test_a_wrong_configuration_ends_the_process_with_a_reason(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"account_sid": "AC1"}')
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 3
    assert "auth_token" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"speed": 0},
        {"speeed": 1},
        {"numbers": {HOTLINE: {"url": "x"}}},
        {"handsets": [{"name": "nobody"}]},
        {"handsets": [{"number": WORKER, "script": "asleep"}]},
        {"chaos": {"drop": 3}},
        {"actions": [{"label": "x"}]},
    ],
)
def test_a_slip_in_the_configuration_is_found(customer: Customer, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_config(configuration(customer, **change))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_be_written_and_read(name: str) -> None:
    script = parse_script(name)
    assert parse_script(script.to_json()) == script


@pytest.mark.parametrize(
    "script",
    [
        {"answer": "perhaps"},
        {"steps": [{"keys": "A"}]},
        {"steps": [{"press": "1"}]},
        {"then": "sing"},
        {"sip": 99},
        {"ring": -1},
        7,
    ],
)
def test_a_wrong_script_is_refused(script: object) -> None:
    with pytest.raises(ConfigError):
        parse_script(script)


def test_a_written_script_reads_back_the_same() -> None:
    script = parse_script(
        {
            "steps": [{"pause": 2}, {"keys": "1", "barge": True}, {"speak": "x", "seconds": 9}],
            "then": {"keys": "2"},
        }
    )
    assert parse_script(script.to_json()) == script


def test_a_reset_forgets_what_happened_and_keeps_the_configuration(
    twilio: Twilio, customer: Customer
) -> None:
    twilio.script("busy")
    twilio.call(url=customer.url + "/voice")
    twilio.post("/sim/chaos", drop=1)
    twilio.post("/sim/reset")
    state = twilio.get("/sim/state")
    assert (state["calls"], state["messages"], state["webhooks"]) == ([], [], [])
    assert [handset["script"] for handset in state["handsets"]] == ["manual"]
    assert twilio.get("/sim/chaos")["drop"] == 0


def test_a_page_of_another_origin_is_refused(twilio: Twilio) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    reply = requests.post(twilio.url + "/sim/reset", headers=headers, timeout=PATIENCE)
    assert reply.status_code == 403


def test_a_button_is_pressed_by_the_simulator_itself(customer: Customer) -> None:
    customer.pages["/clock"] = Page(b'{"message": "One hour later"}', content_type="application/json")
    action = {
        "label": "+1 hour",
        "url": customer.url + "/clock",
        "headers": {"X-Demo-Token": "secret"},
        "form": {"by": "1h"},
    }
    running = server.start(configuration(customer, actions=[action]))
    try:
        twilio = connect(running.url)
        assert twilio.post("/sim/actions/0") == {"ok": True, "status": 200, "message": "One hour later"}
        (hit,) = customer.at("/clock")
        assert (hit.form, hit.headers["X-Demo-Token"]) == ({"by": "1h"}, "secret")
        assert "secret" not in requests.get(twilio.url, timeout=PATIENCE).text
    finally:
        running.stop()


def doings(twilio: Twilio) -> list[str]:
    """What is going on in each call."""
    return [call["doing"] for call in twilio.get("/sim/state", parts="calls")["calls"]]


def test_hundreds_of_calls_are_held_at_once(customer: Customer) -> None:
    customer.pages["/voice"] = '<Gather numDigits="1" action="/done" timeout="100000"/>'
    running = server.start(configuration(customer, speed=50, calls_per_second=1000))
    try:
        twilio = connect(running.url)
        twilio.post("/sim/default-script", script={"ring": 0, "steps": [], "then": "silent"})
        numbers = [f"+62813{number:08d}" for number in range(150)]
        for number in numbers:
            twilio.call(to=number, url=customer.url + "/voice")
        # However long it takes until the last of them listens, the first is still there.
        eventually(lambda: doings(twilio) == ["gather"] * len(numbers))
        for number in numbers:
            twilio.post(f"/sim/handsets/{number}/keys", keys="1")
        twilio.idle()
        assert len(customer.at("/done")) == len(numbers)
    finally:
        running.stop()
