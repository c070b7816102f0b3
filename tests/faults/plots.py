"""What is played while processes are killed: each plot begins in the same state and ends with everything done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.audits.importing import bring_in
from bot.audits.upload import read
from tests.faults.promises import Hours
from tests.faults.stage import Stage
from tests.journeys.talking import AGENT, REFUSES, SAFE, TAKES, seat
from tests.journeys.world import BEGIN, CONSENTS, HOTLINE, REPORTS_DISMISSAL, Json, Worker, upload

NUMBER = "+6281200000001"
ANOTHER = "+6281200000009"
LONG = "They have not paid us since January and nobody in the office wants to talk with us about it"
Act = Callable[[Stage], None]


@dataclass(frozen=True)
class Plot:
    """A worker's journey. Each act begins when nothing is left to do of the one before."""

    name: str
    acts: Sequence[Act] = ()
    workers: Sequence[Worker] = ()
    """Who was interviewed; each is due when the plot begins."""
    handsets: Sequence[Json] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_line: bool = False
    """The hotline's flow is the small one that looks for a person (:mod:`tests.journeys.talking`)."""
    chaos: Mapping[str, Any] = field(default_factory=dict)
    """What the provider does wrong besides (``/sim/chaos``)."""
    no_retries: bool = False
    """The provider does not repeat a webhook that failed."""
    least: Mapping[str, int] = field(default_factory=dict)
    """What must have come of it, at least: calls, texts, rings."""

    def prepare(self, stage: Stage) -> None:
        """Everything that is there before the first act."""
        if self.workers:
            path = stage.folder / "upload.csv"
            path.write_text(upload(self.workers, audit_date="2026-02-24"), encoding="utf-8")
            if bring_in(stage.service, read(path)).rejected:
                raise RuntimeError("the upload was refused")

    @property
    def people(self) -> list[Json]:
        """The handsets of all who take part."""
        return [
            {"number": each.number, "name": each.alias, "pass_word": each.pass_word, "script": each.script}
            for each in self.workers
        ] + list(self.handsets)

    @property
    def hours(self) -> dict[str, Hours]:
        """When each number may be called."""
        strangers = {str(each["number"]): Hours(0, 24 * 60) for each in self.handsets}
        return strangers | {each.number: Hours(18 * 60, 21 * 60) for each in self.workers}


def writes(*texts: str, sender: str = ANOTHER, media: Sequence[object] = ()) -> tuple[Act, ...]:
    """A worker writes one text after the other, each after the answer to the one before."""

    def one(text: str) -> Act:
        return lambda stage: stage.texts.append(stage.network.text(sender, text, media=media))

    return tuple(one(text) for text in texts)


def rings(script: object) -> Act:
    """A worker calls the hotline."""

    def act(stage: Stage) -> None:
        stage.network.ring(ANOTHER, script=script)

    return act


def sits(script: object) -> Act:
    """An agent sits down at a telephone."""

    def act(stage: Stage) -> None:
        seat(stage, AGENT, script=script)

    return act


WAITS = {"steps": [SAFE, *({"silence": True} for _ in range(12))], "then": "hangup"}
"""A worker who waits in the line for a while, and then goes."""

PLOTS = {
    plot.name: plot
    for plot in (
        Plot("call", workers=[Worker(script=REPORTS_DISMISSAL)], least={"calls": 1}),
        Plot(
            "short call",
            workers=[Worker(script={"steps": [*BEGIN, *CONSENTS[:2], {"hangup": True}]})],
            least={"calls": 1},
        ),
        Plot("no answer", workers=[Worker(script="no-answer")], least={"calls": 1}),
        # Whoever dies while she dials is not saved by the provider's reports.
        Plot("no reports", workers=[Worker(script="no-answer")], chaos={"drop": 1.0}, least={"calls": 1}),
        Plot("text", writes(LONG, "1", "stop"), least={"texts": 2}),
        Plot("talk in writing", writes("hello", "English", "1", "5", "1", LONG, "skip", "no")),
        Plot("picture", writes("Look at this please", media=["picture"]), least={"texts": 1}),
        Plot(
            "lost text",
            writes(LONG),
            settings={"poll_minutes": 1},
            no_retries=True,
            least={"texts": 1},
        ),
        Plot(
            "callback in writing",
            writes("later", "weekend", sender=NUMBER),
            workers=[Worker(NUMBER, channel="sms")],
            least={"texts": 2},
        ),
        Plot(
            "missed call",
            (rings({"steps": [SAFE, SAFE, SAFE], "then": "hangup"}),),
            handsets=[{"number": ANOTHER, "script": {"steps": [SAFE, SAFE, SAFE], "then": "hangup"}}],
            settings={"twilio_missed_call": HOTLINE},
            least={"calls": 1},
        ),
        Plot("person", (sits(TAKES), rings(WAITS)), in_line=True, least={"rings": 1}),
        Plot("person refuses", (sits(REFUSES), rings(WAITS)), in_line=True, least={"rings": 1}),
    )
}
