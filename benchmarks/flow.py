"""Steps per second of our engine beside the FLOIP runner: twelve yes/no questions, state as JSON between any two.

Both engines lead whole conversations, one thread each, one after the other within a round. A step is one
answer. Ours also reads the answer as a worker writes it; the FLOIP runner is given the key of the choice.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks import floip, report
from benchmarks.floip import Steps
from benchmarks.questions import QUESTIONS, folder_of_flows
from benchmarks.serving import ROOT
from bot.clock import wall_time
from bot.flow.catalog import Catalogs
from bot.flow.context import Context
from bot.flow.engine import resume, start
from bot.flow.library import Library
from bot.flow.session import Session
from bot.flow.trial import WRITTEN
from bot.messages import Text

CACHE = ROOT / "var" / "benchmarks" / "floip"
"""Where the peer is kept between runs; ``var`` is outside of git."""
_AIM = 10
_FACTS = {"trigger": "message", "language": "en", "language_known": "yes"}


@dataclass(frozen=True, slots=True)
class Flow:
    """The rounds of ours, of the FLOIP runner as its README has it, and of one that writes less."""

    node: str
    ours: list[Steps]
    whole: list[Steps]
    lean: list[Steps]


def measure(seconds: float, rounds: int) -> Flow:
    """Measure both engines, interleaved. Raises CalledProcessError if the peer cannot be had or run."""
    report.progress("FLOIP runner: fetching, if it is not there")
    floip.fetch(CACHE)
    found = Flow(floip.version(), [], [], [])
    with tempfile.TemporaryDirectory(prefix="vb-bench-") as name:
        library = Library.open(folder_of_flows(Path(name)))
        lead(library, min(0.5, seconds))
        for number in range(rounds):
            found.ours.append(lead(library, seconds))
            found.whole.append(floip.lead(CACHE, QUESTIONS, seconds, keep_flow=True))
            found.lean.append(floip.lead(CACHE, QUESTIONS, seconds, keep_flow=False))
            report.progress(
                f"round {number + 1} of {rounds}: ours {found.ours[-1].per_second:,.0f} steps/s, "
                f"FLOIP {found.whole[-1].per_second:,.0f}, without its flow {found.lean[-1].per_second:,.0f}"
            )
    return found


def lead(library: Library, seconds: float) -> Steps:
    """Lead conversations of yes to every question through our engine for so many seconds."""
    numbers = count(1)
    context = Context(
        now=wall_time(),
        new_id=lambda: f"{next(numbers):032x}",
        library=library,
        catalogs=Catalogs(None, ()),
        capabilities=WRITTEN["sms"],
        check_pass_word=lambda _: False,
    )
    flow = library.get("hotline")
    steps, questions, state = 0, 0, b""
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        sprint = start(flow, context, _FACTS)
        questions = 0
        while not sprint.ended:
            state = sprint.session.dump()
            sprint = resume(Session.load(state), Text("yes"), context)
            questions += 1
        steps += questions
    return Steps(steps, time.perf_counter() - started, questions, len(state))


def show(found: Flow) -> None:
    """Print one table."""
    ours = [each.per_second for each in found.ours]
    rows = []
    for name, each in (
        ("Voiceback engine", found.ours),
        ("FLOIP runner 1.0.11, whole context", found.whole),
        ("FLOIP runner 1.0.11, without the flow", found.lean),
    ):
        assert all(one.questions == len(QUESTIONS) for one in each), "an engine skipped a question"
        speed = [one.per_second for one in each]
        share = report.ratio(ours, speed)
        rows.append(
            [
                name,
                f"{median(speed):,.0f}",
                f"{1e6 / median(speed):,.0f}",
                f"{each[-1].bytes:,}",
                "" if each is found.ours else f"{share[0]:.1f} ({share[1]:.1f} to {share[2]:.1f})",
            ]
        )
    report.show(
        f"Flow, 12 yes/no questions, state as JSON between steps, medians of {len(ours)} rounds",
        ["", "steps per second", "µs a step", "bytes of state", "ours / it"],
        rows,
        [f"Node {found.node}. Aim: ours / FLOIP at least {_AIM}."],
    )
