"""A worker asks for a person in writing, and a person answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot import staff
from bot.cases import actions
from bot.errors import InputError
from bot.storage import tables
from tests.journeys.test_hotline import WORKER, write
from tests.journeys.world import World

ASKED = ("hello", "English", "1", "person")


def answer(world: World, text: str) -> None:
    """What the form on the case page does."""
    (case,) = world.rows(tables.Case)
    supervisor = _supervisor(world)
    with world.service.database.write() as connection:
        actions.act(
            connection,
            world.service.sealer,
            case.id,
            actions.AnswerWorker(text),
            staff_id=supervisor,
            version=case.version,
            now=world.service.clock.now(),
        )
    world.run()
    world.network.idle()
    world.run()


def _supervisor(world: World) -> str:
    known = world.rows(tables.Staff)
    if not known:
        service = world.service
        staff.add(
            *(service.database, service.sealer, service.clock, "anna", "correct horse battery"),
            [staff.Role.SUPERVISOR],
        )
        known = world.rows(tables.Staff)
    return str(known[0].id)


def test_after_she_asked_for_a_person_only_a_person_answers(world: World) -> None:
    told = write(world, *ASKED)
    assert "A person will answer you here" in told[-1]
    silent = write(world, "they shouted at us again today")
    assert silent == told
    assert ("in", "they shouted at us again today") in world.transcript()
    answer(world, "We read you. Are you safe?")
    assert world.network.texts_to(WORKER)[-1] == "We read you. Are you safe?"
    assert write(world, "yes for now")[-1] == "We read you. Are you safe?"
    (case,) = world.rows(tables.Case)
    assert len(world.rows(tables.Conversation)) == 1
    kinds = [event.kind for event in world.rows(tables.CaseEvent) if event.case_id == case.id]
    assert kinds.count("worker_wrote") == 2
    assert "answered_worker" in kinds


def test_stop_is_obeyed_also_while_a_person_answers(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, *ASKED)
    # Twilio itself takes STOP; the word in another served language is ours to obey.
    assert write(world, "berhenti")[-1] == "OK. You will get no more messages or calls from us."
    with pytest.raises(InputError, match="said stop"):
        answer(world, "hello again")


def test_a_week_of_silence_gives_the_thread_back_to_the_questions(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, *ASKED)
    world.pass_time(timedelta(days=7, minutes=1))
    world.run()
    assert "Is it safe to write here now" in write(world, "hello, it is me")[-1]
