"""Stop, on every channel: it is understood in every language, and only the worker's own word takes it back."""

from __future__ import annotations

import pytest

from bot.storage import tables
from tests.contract.row import Row
from tests.contract.table import STORY, WRITTEN
from tests.contract.test_contract import say
from tests.journeys.world import World

in_writing = pytest.mark.parametrize("row", WRITTEN, indirect=True, ids=str)
NO_WORD_OF_HERS = ("hello", "yes", "1", "continue", "subscribe", "I want to start again on Monday")
"""What Twilio and others take for a wish to hear from us again, and what only looks like one."""


@in_writing
def test_stop_is_understood_in_every_language_whatever_was_spoken(world: World, row: Row) -> None:
    words = world.service.library.words.lists["stop"]
    for n, language in enumerate(world.service.catalogs.languages):
        listed = world.service.catalogs.tongue(language).text(words, "words")
        say(world, row, STORY, 10 * n + 1)
        say(world, row, listed.split(",")[-1].strip(), 10 * n + 2)
        assert {each.reason for each in world.rows(tables.Stop)} == {"worker"}, language
        say(world, row, "start", 10 * n + 3)
        assert world.rows(tables.Stop) == []


@in_writing
def test_nothing_but_her_own_word_takes_a_stop_back(world: World, row: Row) -> None:
    say(world, row, STORY, 1)
    say(world, row, "stop", 2)
    shown = row.sent(world)
    for n, text in enumerate(NO_WORD_OF_HERS, 3):
        say(world, row, text, n)
    assert row.media(world, 20).post(world).ok
    world.run()
    assert row.sent(world) == shown
    assert world.rows(tables.Stop)
    said = [body for _, body in world.transcript()]
    assert all(any(text in body for body in said) for text in NO_WORD_OF_HERS)
    say(world, row, "start", 30)
    assert world.rows(tables.Stop) == []
    assert len(row.sent(world)) > len(shown)
