"""A worker finds her language early in the menu, wherever she works."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.flow.menu import in_order
from bot.flow.source import FlowFaults
from bot.flow.trial import VOICE, WRITTEN
from bot.messages import Capabilities
from tests.flow.conversation import Conversation, flow_text, shelf

SERVED = ("en", "bn", "id", "km", "ms", "my", "ne", "ta", "th", "vi", "zh-Hans")


@pytest.mark.parametrize(
    ("country", "first"),
    [
        ("ID", ("id", "en", "bn")),
        ("TH", ("th", "my", "km", "vi", "en")),
        ("MY", ("ms", "zh-Hans", "ta", "en", "bn", "ne", "my")),
        ("MM", ("my", "en", "bn")),
        ("TW", ("zh-Hans", "id", "vi")),
        ("XX", SERVED),
        (None, SERVED),
    ],
)
def test_languages_of_the_country_come_first(
    library: Library, country: str | None, first: tuple[str, ...]
) -> None:
    order = in_order(SERVED, country, library.spoken_in(country))
    assert order[: len(first)] == first
    assert sorted(order) == sorted(SERVED), "none is lost, and none is offered twice"


@pytest.mark.parametrize("capabilities", [VOICE, WRITTEN["sms"]])
def test_two_callers_of_two_countries_hear_two_menus(library: Library, capabilities: Capabilities) -> None:
    catalogs = Catalogs(None, SERVED)
    for country, first in (("MY", "ms"), ("TH", "th"), ("MY", "ms"), ("", "en")):
        facts = {"language_known": "no"} | ({"country": country} if country else {})
        talk = Conversation(library, catalogs, capabilities).begin("hotline", facts)
        assert talk.prompt.options[0].code == first
        assert talk.prompt.options[0].key == "1"
        talk.take("1")
        assert talk.prompt.language == first


def test_pages_of_the_keypad_follow_the_country(library: Library) -> None:
    talk = Conversation(library, Catalogs(None, SERVED)).begin("hotline", {"country": "MY"} | UNKNOWN)
    first = [option.code for option in talk.prompt.options]
    talk.take("8")
    second = [option.code for option in talk.prompt.options]
    assert first[:7] == ["ms", "zh-Hans", "ta", "en", "bn", "ne", "my"]
    assert sorted({*first, *second} - {"more"}) == sorted(SERVED)


UNKNOWN = {"language_known": "no"}


def test_country_is_remembered_when_the_language_is_changed_later(library: Library) -> None:
    talk = Conversation(library, Catalogs(None, SERVED), WRITTEN["sms"])
    talk.begin("hotline", {"country": "TH", "language_known": "yes"}).take("1", "language")
    assert talk.prompt.options[0].code == "th"


def test_mistake_in_the_list_of_countries_is_told_with_its_line(tmp_path: Path) -> None:
    steps = "  - {id: end, say: Goodbye., end: completed}\n"
    flows = shelf(
        tmp_path / "flows", test=flow_text("test", steps), countries="countries:\n  Thailand: [my]\n"
    )
    with pytest.raises(FlowFaults) as caught:
        Library.open(flows)
    assert caught.value.file == "flows/countries.yaml"
    assert caught.value.line == 2
