"""A session is small, survives storage, and is refused when it is damaged."""

from __future__ import annotations

import pytest

from bot.errors import EngineError
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.flow.session import Session
from tests.flow.conversation import CALLBACK_FACTS, PASS_WORD, Conversation


def test_session_stays_small_through_a_whole_call(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs).begin("callback", CALLBACK_FACTS)
    talk.take("1", PASS_WORD, "1", "1", "1", "2", "1", *"222112221")
    sizes = [len(sprint.session.dump()) for sprint in talk.sprints]
    assert max(sizes) <= 300


def test_ended_session_remembers_nothing_that_was_said(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs).begin("callback", CALLBACK_FACTS)
    talk.take("1", PASS_WORD, "1", "1", "1", "2", "1", "1", "9", "1")
    assert talk.sprint.session.values == {}
    assert talk.sprint.session.raised == {}


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"[1,2,3]", b"null", b"\xff", b'["x"' + b',"x"' * 11 + b"]"]
)
def test_damaged_session_is_an_engine_error(data: bytes) -> None:
    with pytest.raises(EngineError):
        Session.load(data)


def test_session_does_not_print_answers(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs).begin("callback", CALLBACK_FACTS)
    talk.take("1", PASS_WORD, "1", "1", "1", "2", "1", "1", "1")
    assert "manager" not in repr(talk.sprint.session)
    assert "coaching" not in repr(talk.sprint.session)
