"""An author can talk with a flow in the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import pytest

from bot.clock import FrozenClock
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.flow.trial import PASS_WORD, parse, talk
from bot.messages import HangUp, Keys, Silence, Text, Timeout
from tests.flow.conversation import CALLBACK_FACTS, NOW


def interrupted() -> Iterator[str]:
    """An author who answers once and then presses Ctrl-C."""
    yield "1\n"
    raise KeyboardInterrupt


def led(
    library: Library, catalogs: Catalogs, flow: str, channel: str, lines: Iterable[str]
) -> tuple[int, str]:
    out = io.StringIO()
    clock = FrozenClock(NOW)
    code = talk(
        library, catalogs, flow, channel=channel, facts=CALLBACK_FACTS, clock=clock, lines=lines, out=out
    )
    return code, out.getvalue()


def test_call_in_the_terminal(library: Library, catalogs: Catalogs) -> None:
    lines = io.StringIO(f"1\n{PASS_WORD}#\n1\n*\n1\n1\n")
    code, shown = led(library, catalogs, "callback", "voice", lines)
    assert code == 0
    assert '"Hello. Is this a good time?"' in shown
    assert "* UnsafeFlagged(threat=True)" in shown
    assert "* Ended(outcome=unsafe)" in shown


def test_thread_in_the_terminal_shows_numbered_options(library: Library, catalogs: Catalogs) -> None:
    code, shown = led(library, catalogs, "hotline", "sms", io.StringIO("1\nstop\n"))
    assert code == 0
    assert "1 Yes\n2 No\n" in shown
    assert "* StopRequested()" in shown


def test_end_of_input_and_interruption_are_polite(library: Library, catalogs: Catalogs) -> None:
    assert led(library, catalogs, "hotline", "sms", io.StringIO("1\n"))[0] == 130
    code, shown = led(library, catalogs, "hotline", "sms", interrupted())
    assert code == 130
    assert shown.endswith("\nGoodbye.\n")


@pytest.mark.parametrize(
    ("line", "channel", "expected"),
    [
        ("1234#", "voice", Keys("1234")),
        ("#", "voice", Keys("#")),
        ("", "voice", Silence()),
        ("/hangup", "voice", HangUp()),
        ("/expire", "sms", Timeout("s1", "expire")),
        ("hello", "sms", Text("hello")),
    ],
)
def test_typed_lines_become_inputs(line: str, channel: str, expected: object) -> None:
    assert parse(line, channel, "s1") == expected
