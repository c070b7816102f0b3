"""A race: several answers of each worker at once, each delivered twice, through the real server.

Afterwards the database is asked: every answer once, every worker with the right number, each question
answered once and in order, each conversation exactly as far as its answers brought it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from benchmarks import report, texting
from benchmarks.databases import prepared
from benchmarks.load import drive
from benchmarks.questions import QUESTIONS, folder_of_flows
from benchmarks.serving import OURS, serving
from benchmarks.workers import placed, service_of, settings_of
from bot.flow.session import Session
from bot.service import Service
from bot.storage.tables import Answer, Conversation, Message, table

WORKERS = 50
EACH = 6
CONNECTIONS = 32
_ASKED_AGAIN = 3
"""How often Twilio comes again after a 5xx, by the override at the end of our webhook address (``rc=3``)."""

_answer = table(Answer)
_conversation = table(Conversation)
_message = table(Message)


@dataclass(frozen=True, slots=True)
class Race:
    """What the database held afterwards. ``astray`` counts conversations that stand where they should not."""

    sent: int
    stored: int
    lost: int
    doubled: int
    astray: int
    deliveries: int
    asked_again: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled or led astray."""
        return not (self.lost or self.doubled or self.astray) and self.stored == self.sent


def run(kind: str, workers: int = WORKERS, each: int = EACH) -> Race:
    """Run the race on one kind of database: ``each`` answers of every worker, at most one per question."""
    with prepared(kind) as ground:
        report.progress(f"{ground.version}: race of {workers * each} answers, each delivered twice")
        settings = settings_of(ground, folder_of_flows(ground.folder))
        service = service_of(settings)
        try:
            people = placed(service, ("hello",), "question_1", 0, workers)
            sids, deliveries = _deliveries(people, each)
            with serving(OURS, settings, ground.folder) as server:
                again, seconds = _deliver(server.port, deliveries)
            return _judged(service, sids, each, len(deliveries), again, seconds)
        finally:
            service.database.dispose()


def show(kind: str, found: Race) -> None:
    """Print one table."""
    report.show(
        f"Race, {kind}, {CONNECTIONS} connections, {found.deliveries} deliveries in {found.seconds:.1f} s",
        ["sent", "stored", "lost", "doubled", "conversations astray", "asked to come again"],
        [
            [
                str(number)
                for number in (
                    found.sent,
                    found.stored,
                    found.lost,
                    found.doubled,
                    found.astray,
                    found.asked_again,
                )
            ]
        ],
        ["Every answer exactly once." if found.clean else "NOT every answer exactly once."],
    )


def _deliveries(people: Sequence[str], each: int) -> tuple[set[str], list[bytes]]:
    """The ids of the answers, and their deliveries: a worker's own all together, in no order, each twice."""
    chance = random.Random(1)
    sids: set[str] = set()
    deliveries: list[bytes] = []
    for sender in people:
        answers = [texting.Words(texting.sid(), sender, "yes") for _ in range(each)]
        sids |= {answer.sid for answer in answers}
        twice = [texting.post(answer) for answer in answers for _ in range(2)]
        chance.shuffle(twice)
        deliveries += twice
    return sids, deliveries


def _deliver(port: int, deliveries: list[bytes]) -> tuple[int, float]:
    """Deliver all, those again that were answered with 5xx; gives how many those were, and the seconds."""
    again, seconds, waiting = 0, 0.0, deliveries
    for _ in range(1 + _ASKED_AGAIN):
        load = drive(port, waiting, CONNECTIONS)
        seconds += load.seconds
        assert all(status == 200 or status >= 500 for status in load.statuses), "a delivery was refused"
        waiting = [request for request, status in zip(waiting, load.statuses, strict=True) if status != 200]
        if not waiting:
            return again, seconds
        again += len(waiting)
    raise AssertionError(f"{len(waiting)} deliveries were never taken")


def _judged(service: Service, sids: set[str], each: int, deliveries: int, again: int, seconds: float) -> Race:
    with service.database.read() as connection:
        answers = connection.execute(
            select(_answer.c.conversation_id, _answer.c.question, _answer.c.n).order_by(_answer.c.n)
        ).all()
        received = connection.execute(
            select(_message.c.event_id).where(_message.c.event_id.is_not(None))
        ).scalars()
        times = Counter(received)
        talks = connection.execute(select(_conversation)).all()
    told: dict[str, list[tuple[str, int]]] = {row.id: [] for row in talks}
    for row in answers:
        told[row.conversation_id].append((row.question, row.n))
    expected = [(f"question_{place}", place) for place in range(1, each + 1)]
    onward = f"question_{each + 1}" if each < len(QUESTIONS) else "closing"
    sealer = service.sealer
    astray = 0
    for row in talks:
        sealed = sealer.open_text(f"conversation.session_sealed:{row.id}", row.session_sealed)
        step = Session.load(sealed.encode()).step
        astray += not (told[row.id] == expected and row.answers == each and step == onward)
    surplus = sum(max(0, len(of_one) - each) for of_one in told.values())
    missing = sum(max(0, each - len(of_one)) for of_one in told.values())
    return Race(
        sent=len(sids),
        stored=len(answers),
        lost=missing + sum(times[sid] == 0 for sid in sids),
        doubled=surplus + sum(times[sid] > 1 for sid in sids),
        astray=astray,
        deliveries=deliveries,
        asked_again=again,
        seconds=seconds,
    )
