"""Talking with a flow in the terminal, as a worker would: for flow authors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TextIO

from bot.clock import Clock
from bot.flow.catalog import Catalogs
from bot.flow.context import Context, Sprint
from bot.flow.engine import resume, start
from bot.flow.events import Event
from bot.flow.library import Library
from bot.flow.session import Session
from bot.messages import (
    Capabilities,
    Channel,
    Expects,
    HangUp,
    Input,
    Keys,
    Media,
    MediaRef,
    Prompt,
    Recording,
    Silence,
    Text,
    Timeout,
    Transferred,
)

PASS_WORD = "1234"  # noqa: S105 - the pass-word of a make-believe worker, said to the author at the start
VOICE = Capabilities(Channel.VOICE, text_limit=0, keypad=True, synchronous=True)
WRITTEN = {
    "sms": Capabilities(Channel.SMS, text_limit=1600),
    "whatsapp": Capabilities(Channel.WHATSAPP, text_limit=1024, buttons=3, list_items=10, media_in=True),
    "telegram": Capabilities(Channel.TELEGRAM, text_limit=4096, buttons=10, media_in=True),
    "email": Capabilities(Channel.EMAIL, text_limit=10000, media_in=True),
}


def capabilities_of(channel: str) -> Capabilities:
    """What a channel can show and take, for a trial; ``KeyError`` for an unknown name."""
    return VOICE if channel == "voice" else WRITTEN[channel]


def talk(
    library: Library,
    catalogs: Catalogs,
    flow: str,
    *,
    channel: str,
    facts: Mapping[str, str],
    clock: Clock,
    lines: Iterable[str],
    out: TextIO,
) -> int:
    """Run one conversation: prompts and events go to ``out``, one line of ``lines`` is one input.

    Returns 0 when the conversation ended, 130 when it was interrupted or the input ran out.
    """
    numbers = count(1)

    def context() -> Context:
        return Context(
            now=clock.now(),
            new_id=lambda: f"{next(numbers):032x}",
            library=library,
            catalogs=catalogs,
            capabilities=capabilities_of(channel),
            check_pass_word=lambda entry: entry == PASS_WORD,
            person_there=lambda _language: True,
        )

    typed = iter(lines)
    out.write(_welcome(channel))
    sprint = start(library.get(flow), context(), facts)
    try:
        while True:
            out.write(_shown(sprint, channel))
            out.flush()
            if sprint.ended:
                return 0
            line = next(typed, None)
            if line is None:
                return 130
            given = parse(line.rstrip("\n"), channel, sprint.session.sprint)
            sprint = resume(Session.load(sprint.session.dump()), given, context())
    except KeyboardInterrupt:
        out.write("\nGoodbye.\n")
        return 130


def parse(line: str, channel: str, sprint: str) -> Input:
    """One typed line as an input: words or keys, or ``/silence``, ``/hangup``, ``/speak``, ``/picture``,
    ``/remind``, ``/expire``, and ``/talked`` or ``/nobody`` for the end of a wait for a person."""
    word = line.strip()
    special: dict[str, Input] = {
        "/silence": Silence(),
        "/hangup": HangUp(),
        "/speak": Recording("recording", 8),
        "/picture": Media((MediaRef("picture", "image/jpeg"),)),
        "/remind": Timeout(sprint, "remind"),
        "/expire": Timeout(sprint, "expire"),
        "/talked": Transferred.TALKED,
        "/nobody": Transferred.NOBODY,
    }
    if word in special:
        return special[word]
    if channel != "voice":
        return Text(line)
    if not word:
        return Silence()
    return Keys(word[:-1] if len(word) > 1 and word.endswith("#") else word)


def _welcome(channel: str) -> str:
    how = (
        "Type keys like 1, or 1234#. An empty line is silence." if channel == "voice" else "Type your answer."
    )
    return f"({how} /hangup, /speak, /picture, /remind, /expire, /talked, /nobody. The code of this worker is {PASS_WORD}.)\n"


def _shown(sprint: Sprint, channel: str) -> str:
    events = "".join(f"    {line}\n" for line in described(sprint.events))
    return events + rendered(sprint.prompt, channel) + ("" if sprint.ended else "> ")


def rendered(prompt: Prompt, channel: str) -> str:
    """A prompt as lines of text: speech with its pauses, or a message with its numbered list."""
    if channel == "voice":
        waits = "" if prompt.expects is Expects.NOTHING else f"[{prompt.expects.value}, {prompt.timeout} s]\n"
        return "".join(f'"{text}"\n' for text in prompt.texts) + waits
    options = "".join(f"{option.key} {option.label}\n" for option in prompt.options)
    return "\n".join(prompt.texts) + ("\n" if prompt.texts else "") + options


def described(events: tuple[Event, ...]) -> Iterator[str]:
    """Events as short lines for the author's eyes: codes, and never what was said."""
    for event in events:
        fields = {
            name: getattr(event, name) for name in event.__slots__ if name not in ("text", "media", "digits")
        }
        shown = ", ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ()))
        yield f"* {type(event).__name__}({shown})"
