"""What is played while processes are killed: each plot begins in the same state and ends with everything done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from bot import agents
from bot.agents import AgentState
from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.callbacks import policies
from bot.callbacks.policy import Mode, Policy
from bot.storage import tables
from bot.storage.tables import table
from channels.telegram import Telegram
from tests.channels import telegram
from tests.faults.promises import Hours
from tests.faults.stage import Stage
from tests.journeys.talking import AGENT, REFUSES, SAFE, TAKES, seat
from tests.journeys.world import (
    BEGIN,
    BOT_TOKEN,
    CONSENTS,
    HOTLINE,
    NOTICE,
    REPORTS_DISMISSAL,
    Json,
    Worker,
    upload,
)

NUMBER = "+6281200000001"
ANOTHER = "+6281200000009"
LONG = "They have not paid us since January and nobody in the office wants to talk with us about it"
EVENINGS = Hours(18 * 60, 21 * 60)
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
    with_agents: bool = False
    """Agents are rung and talk, so that the network is busy for a while."""
    mode: Mode = Mode.AUTOMATIC
    """Who calls."""
    audit_date: str = "2026-02-24"
    """The callbacks' first day is five days later."""
    called: Hours = EVENINGS
    """When whoever was interviewed is to be called."""
    telegram: bool = False
    """The bot's webhook is set."""
    mail: bool = False
    """There is a post."""
    chaos: Mapping[str, Any] = field(default_factory=dict)
    """What the provider does wrong besides (``/sim/chaos``)."""
    no_retries: bool = False
    """The provider does not repeat a webhook that failed."""
    least: Mapping[str, int] = field(default_factory=dict)
    """What must have come of it, at least: calls, texts, rings."""
    in_any_case: bool = False
    """Also when somebody was killed: nobody in it goes away who is kept waiting."""

    def prepare(self, stage: Stage) -> None:
        """Everything that is there before the first act."""
        if self.workers:
            path = stage.folder / "upload.csv"
            path.write_text(upload(self.workers, audit_date=self.audit_date), encoding="utf-8")
            if bring_in(stage.service, read(path)).rejected:
                raise RuntimeError("the upload was refused")
            if self.mode is not Mode.AUTOMATIC:
                policies.set_for_client(stage.service, "Brand A", Policy(mode=self.mode))
        if self.telegram:
            settings = stage.service.settings
            Telegram(settings).set_webhook(settings.public_base_url + telegram.PATH)

    @property
    def talks(self) -> bool:
        """Whether talks take their time."""
        return self.in_line or self.with_agents

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
        return strangers | {each.number: self.called for each in self.workers}


def writes(
    *texts: str, sender: str = ANOTHER, to: str = HOTLINE, media: Sequence[object] = ()
) -> tuple[Act, ...]:
    """A worker writes one text after the other, each after the answer to the one before."""

    def one(text: str) -> Act:
        return lambda stage: stage.texts.append(stage.network.text(sender, text, to, media=media))

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


def returns() -> Act:
    """All agents are there again and take the next call, whatever became of the last one."""

    def act(stage: Stage) -> None:
        agent = table(tables.Agent)
        with stage.service.database.write() as connection:
            for staff_id in connection.execute(select(agent.c.staff_id)).scalars().all():
                was = (AgentState.WRAP_UP, AgentState.AWAY)
                agents.move(connection, staff_id, AgentState.FREE, was, stage.service.clock.now())

    return act


def it_is(instant: str) -> Act:
    """Time goes by until an instant of ISO 8601, with its offset."""
    return lambda stage: stage.go_to(datetime.fromisoformat(instant))


def chats(*texts: str) -> tuple[Act, ...]:
    """A worker opens the bot in Telegram and writes one text after the other."""
    one = f"/sim/telegram/people/{ANOTHER}"

    def starts(stage: Stage) -> None:
        stage.network.post(f"{one}/start", {})

    def says(text: str) -> Act:
        def act(stage: Stage) -> None:
            update = stage.network.post(f"{one}/text", {"text": text})["update_id"]
            stage.texts.append(f"{BOT_TOKEN.partition(':')[0]}:{update}")

        return act

    return (starts, *map(says, texts))


def mails(*texts: str) -> tuple[Act, ...]:
    """A worker writes one mail after the other."""

    def one(text: str) -> Act:
        def act(stage: Stage) -> None:
            stage.network.post(f"/sim/mail/{ANOTHER}/write", {"text": text})
            stage.mails += 1

        return act

    return tuple(map(one, texts))


LISTENS = {"steps": [*BEGIN], "then": "silent", "hangs_up_after": 300}
"""A worker who gives her pass-word, and then listens for a while."""
ASKS_FOR_A_PERSON = {"steps": [*BEGIN, {"keys": "0"}], "then": "silent", "hangs_up_after": 300}
TOMORROW = "2026-03-03"
"""When a callback is due whose audit was two days later than usual."""
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
        Plot(
            "led call",
            (sits(TAKES), returns()),
            workers=[Worker(script=LISTENS)],
            mode=Mode.AGENT,
            with_agents=True,
            least={"calls": 1, "rings": 1},
            in_any_case=True,
        ),
        # Nobody takes it: then the system calls, before the window is over.
        Plot(
            "agent first",
            (sits(REFUSES), it_is("2026-03-02T20:42:00+07:00")),
            workers=[Worker(script=REPORTS_DISMISSAL)],
            mode=Mode.AGENT_FIRST,
            with_agents=True,
            least={"calls": 1, "rings": 1},
        ),
        Plot(
            "person in a call",
            (it_is(f"{TOMORROW}T17:50:00+07:00"), sits(TAKES), it_is(f"{TOMORROW}T18:00:30+07:00")),
            workers=[Worker(script=ASKS_FOR_A_PERSON)],
            audit_date="2026-02-26",
            with_agents=True,
            least={"calls": 1, "rings": 1},
        ),
        Plot(
            "reminder",
            # A lease that runs out in the first act is looked after in the second.
            tuple(it_is(f"{TOMORROW}T{hour}:30+07:00") for hour in ("16:00", "16:10", "18:00")),
            workers=[Worker(script=REPORTS_DISMISSAL, reminder="yes")],
            audit_date="2026-02-26",
            least={"calls": 1, "texts": 1},
            in_any_case=True,
        ),
        Plot(
            "later",
            (
                *writes("later", Worker().pass_word, "tomorrow after 8", "1", sender=NUMBER),
                it_is(f"{TOMORROW}T20:00:30+07:00"),
            ),
            workers=[Worker(NUMBER, script="no-answer")],
            audit_date="2026-02-26",
            called=Hours(20 * 60, 21 * 60),
            least={"calls": 1, "texts": 4},
            in_any_case=True,
        ),
        Plot(
            "whatsapp",
            writes(LONG, "1", "stop", sender=f"whatsapp:{ANOTHER}", to=f"whatsapp:{HOTLINE}"),
            settings={"twilio_whatsapp_from": HOTLINE, "twilio_whatsapp_templates": f"*={NOTICE}"},
            least={"texts": 2},
            in_any_case=True,
        ),
        Plot(
            "telegram",
            chats(LONG, "1", "stop"),
            settings={"telegram_bot_token": BOT_TOKEN, "telegram_webhook_secret": telegram.SECRET},
            telegram=True,
            least={"texts": 3},
        ),
        Plot(
            "mail",
            mails(LONG, "yes", "stop"),
            handsets=[{"number": ANOTHER}],
            mail=True,
            least={"texts": 2},
        ),
    )
}
