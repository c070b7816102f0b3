"""Workers and agents who talk: a small flow that looks for a person, agents with telephones, and waiting for it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import insert, update

from bot import agents
from bot.agents import AgentState
from bot.clock import wall_time
from bot.flow.library import Library
from bot.ids import new_id
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import ROOT, Json, Place, World

WORKER = "+6281200000009"
AGENT = "+12025550111"
OTHER_AGENT = "+12025550112"
GREETING = "Hello, you are talking with a person"
THANKS = "Thank you. Goodbye."
NOBODY = "Thank you. A person will call you about this."
MESSAGE = "Is there anything else?"

FLOW = f"""
name: hotline
title: A line for tests
person: person
steps:
  - id: safe
    ask: yes_no
    safety: check
    text: Is it safe to write here now, and nobody else can see your phone?
    next: {{"no": goodbye}}
  - id: person
    when: {{medium: voice}}
    ask: person
    text: Please wait.
    next: {{talked: goodbye, message: message, else: nobody}}
  - id: nobody
    say: {NOBODY}
    end: completed
  - id: message
    ask: yes_no
    text: {MESSAGE}
  - id: goodbye
    say: {THANKS}
    end: completed
"""

TAKES = {
    "steps": [{"keys": "1"}, {"talk": [{"speak": GREETING, "seconds": 3}, {"pause": 5, "hangup": True}]}]
}
"""An agent who takes the call, talks and hangs up."""
STAYS = {"steps": [{"keys": "1"}, {"talk": [{"speak": GREETING, "seconds": 3}]}], "then": "silent"}
"""An agent who takes the call and stays until the other has gone."""
REFUSES = {"steps": [{"keys": "2"}], "then": "silent"}
RINGS = {"answer": "no-answer"}
VOICEMAIL = {"answer": "machine", "then": "silent", "hangs_up_after": 120}
SAFE = {"keys": "1"}


def line_flows(folder: Path, after: str = "goodbye") -> Library:
    """The real flows, with the small one in place of the hotline's; its step ``after`` follows a talk."""
    flows = folder / "line_flows"
    shutil.copytree(ROOT / "flows", flows)
    (flows / "hotline.yaml").write_text(FLOW.replace("talked: goodbye", f"talked: {after}"), encoding="utf-8")
    return Library.open(flows)


def seat(world: Place, phone: str = AGENT, *languages: str, name: str = "ada", script: object = TAKES) -> str:
    """An agent who is signed in and takes calls on a handset that does what ``script`` says; gives her id."""
    staff_id, now = new_id(), world.service.clock.now()
    world.network.post("/sim/handsets", [{"number": phone, "name": name, "script": script}])
    with world.service.database.write() as connection:
        connection.execute(
            insert(table(tables.Staff)).values(
                id=staff_id,
                name=name,
                password_hash="",
                totp_sealed=b"",
                roles="agent",
                active=True,
                created_at=now,
            )
        )
        agents.set_phone_and_languages(
            connection,
            world.service.sealer,
            staff_id,
            phone=phone,
            languages=languages or ("en",),
            now=now,
        )
    sit_down(world, staff_id)
    return staff_id


def sit_down(world: Place, staff_id: str) -> None:
    """She opens her page and says that she is there."""
    wall = wall_time()
    with world.service.database.write() as connection:
        connection.execute(
            insert(table(tables.StaffSession)).values(
                id=new_id(), staff_id=staff_id, data="{}", created_at=wall, seen_at=wall
            )
        )
        agents.come(connection, staff_id, world.service.clock.now())


def leave_room(world: World, staff_id: str) -> None:
    """Her page is closed, and nobody heard of it for a while."""
    session = table(tables.StaffSession)
    with world.service.database.write() as connection:
        gone = wall_time() - agents.PRESENCE
        connection.execute(update(session).where(session.c.staff_id == staff_id).values(seen_at=gone))


def until(world: World, met: Callable[[], object], seconds: float = 60) -> None:
    """Let the clock beat until something is so. While somebody waits in the line, the network is never idle."""
    ends = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < ends, "it does not come about"
        world.beat()
        time.sleep(0.005)


def soon(met: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so that the network brings about, while the clock does not beat."""
    ends = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < ends, "it does not come about"
        time.sleep(0.005)


@contextmanager
def held(world: World, prefix: str) -> Iterator[None]:
    """What the network sends to addresses that begin so waits until the end of the block."""
    let_go = threading.Event()

    def wait(path: str) -> None:
        if path.startswith(prefix):
            let_go.wait(60)

    world.before = wait
    try:
        yield
    finally:
        let_go.set()
        world.before = None


def transfer(world: World) -> Any:
    """The newest transfer, or None."""
    found = world.rows(tables.Transfer)
    return found[-1] if found else None


def course(world: World) -> dict[str, Any]:
    """What became of the newest transfer, without the lease that grows old."""
    found = dict(transfer(world)._mapping)
    del found["lease_until"]
    return found


def stands(world: World, *states: str) -> Callable[[], bool]:
    """Whether the newest transfer is in one of these states."""
    return lambda: (found := transfer(world)) is not None and found.state in states


def agent_state(world: World, staff_id: str) -> AgentState | None:
    """Where an agent stands."""
    with world.service.database.read() as connection:
        return agents.state_of(connection, staff_id)


def call(world: World, sid: str) -> Json:
    """One call as it is now."""
    (found,) = (each for each in world.network.calls() if each["sid"] == sid)
    return found


def rung(world: World, phone: str = AGENT) -> list[Json]:
    """The calls that came to a telephone of an agent."""
    return [each for each in world.network.calls(phone) if each["to"] == phone]


def conversation(world: World) -> Any:
    """The only conversation."""
    (found,) = world.rows(tables.Conversation)
    return found


def unsigned(address: str, fields: dict[str, str]) -> int:
    """What we answer to a form that nobody signed."""
    return requests.post(address, data=fields, timeout=10).status_code


def hang_up(world: World, number: str = WORKER) -> None:
    """Somebody puts the telephone down."""
    world.network.post(f"/sim/handsets/{number}/hangup")


def occupy(world: World, staff_id: str) -> None:
    """An agent is there but still writes about an earlier talk."""
    with world.service.database.write() as connection:
        agents.move(connection, staff_id, AgentState.WRAP_UP, {AgentState.FREE}, world.clock.now())
