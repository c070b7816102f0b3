"""A client's policy is kept, and moves what nobody has dialled."""

from __future__ import annotations

import pytest

from bot.callbacks import policies
from bot.callbacks.policy import Policy
from bot.errors import InputError
from tests.journeys.world import Worker, World


def test_without_a_policy_the_careful_defaults_hold(sqlite_world: World) -> None:
    sqlite_world.interviewed(Worker())
    with sqlite_world.service.database.read() as connection:
        assert policies.of_client(connection, "Brand A") == Policy()


def test_a_new_policy_moves_callbacks_that_nobody_dialled(world: World) -> None:
    world.interviewed(Worker())
    before = world.callback()
    assert policies.set_for_client(world.service, "Brand A", Policy(first_call_day=8, last_call_day=9)) == 1
    after = world.callback()
    assert before["due_at"] < after["due_at"]
    assert after["due_at"].startswith("2026-03-05")


def test_a_dialled_callback_stays_where_it_is(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(script="busy"))
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    before = world.callback()
    assert policies.set_for_client(world.service, "Brand A", Policy(first_call_day=8, last_call_day=9)) == 0
    assert world.callback() == before


def test_a_callback_given_up_for_its_days_comes_back_with_a_longer_period(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(), audit_date="2026-02-01")
    assert world.callback()["state"] == "given_up"
    policies.set_for_client(world.service, "Brand A", Policy(last_call_day=60))
    assert world.callback()["state"] == "scheduled"


def test_another_clients_callbacks_are_left_alone(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    world.interviewed(Worker(number="+6281200000002"), client="Brand B")
    policies.set_for_client(world.service, "Brand B", Policy(first_call_day=8, last_call_day=9))
    first, second = world.callbacks()
    assert first["due_at"] < second["due_at"]


def test_an_unknown_client_is_told_with_a_suggestion(sqlite_world: World) -> None:
    sqlite_world.interviewed(Worker())
    with pytest.raises(InputError, match="Brand A"):
        policies.set_for_client(sqlite_world.service, "Brand", Policy())
