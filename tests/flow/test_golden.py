"""Whole conversations: flow, facts and inputs in, events and prompts out.

Run ``pytest tests/flow --update`` to write the expectations anew, and read the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.flow.catalog import Catalogs
from bot.flow.context import Sprint
from bot.flow.events import Event
from bot.flow.library import Library
from bot.flow.trial import capabilities_of, parse
from tests.flow.conversation import Conversation

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.yaml"))


class _Dumper(yaml.SafeDumper):
    """Writes the files as people like to read them."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _event(event: Event) -> str:
    fields = {name: getattr(event, name) for name in event.__slots__ if name != "digits"}
    shown = ", ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ()))
    return f"{type(event).__name__}({shown})"


def _sprint(given: str, sprint: Sprint) -> dict[str, Any]:
    prompt = sprint.prompt
    seen: dict[str, Any] = {"given": given, "events": [_event(event) for event in sprint.events]}
    seen["texts"] = list(prompt.texts)
    if not sprint.ended:
        seen["expects"] = prompt.expects.value
        seen["options"] = " ".join(f"{option.key}={option.code}" for option in prompt.options)
        seen["timers"] = " ".join(f"{timer.kind}:{timer.seconds}" for timer in sprint.timers)
    if sprint.redact:
        seen["redact"] = True
    return {key: value for key, value in seen.items() if value not in ([], "")}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: str(path.stem))
def test_conversation_goes_as_written(path: Path, library: Library, request: pytest.FixtureRequest) -> None:
    golden = yaml.safe_load(path.read_text(encoding="utf-8"))
    channel = golden["channel"]
    # Two languages whatever is translated by now: every text stays as it is in English.
    catalogs = Catalogs(None, ("id",))
    people = frozenset(golden.get("people", ()))
    talk = Conversation(library, catalogs, capabilities_of(channel), people=people)
    first = parse(golden["first"], channel, "") if "first" in golden else None
    talk.begin(golden["flow"], golden["facts"], first)
    seen = [_sprint(golden.get("first", ""), talk.sprint)]
    for line in golden["inputs"]:
        assert not talk.sprint.ended, f"the conversation ended before '{line}'"
        talk.take(parse(line, channel, talk.sprint.session.sprint))
        seen.append(_sprint(line, talk.sprint))
    if request.config.getoption("--update", default=False):
        golden["sprints"] = seen
        text = yaml.dump(golden, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        path.write_text(text, encoding="utf-8")
    assert seen == golden.get("sprints"), "run with --update and read the difference"
