"""Faults by the hundred while callbacks and messages flow: ``python -m tests.faults.campaign --faults 1000 --seed 7``.

Real processes (web, two clocks, four workers), a real Redis, SQLite or PostgreSQL, and the make-believe provider, which
counts for itself. The seed makes the list of faults (:mod:`tests.faults.schedule`), so a seed that fails can be run
again. A day of the service's time goes by meanwhile. Afterwards the weather is fair, leases run out, and the promises
are looked at (:mod:`tests.faults.promises`). Exit code 1: one was broken.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.clock import wall_time
from tests.faults import promises
from tests.faults.promises import Hours
from tests.faults.schedule import Fault, Kind, schedule
from tests.faults.station import Station, station
from tests.faults.weather import Weather, patiently
from tests.journeys.world import REPORTS_DISMISSAL, Worker, upload
from tests.postgres import running as postgres_running

ZONE = ZoneInfo("Asia/Jakarta")
BEGINS = 7 * 60 + 50
"""Minute of the worker's day at which a campaign begins; the first windows open ten minutes later."""
ENDS = 20 * 60
MOST_MINUTES = 3.0
"""By so much the service's day goes on between two faults at most, so that a short campaign meets calls too."""
EXACT = 30
PARTS = {
    "morning": Hours(480, 720),
    "lunch": Hours(720, 780),
    "afternoon": Hours(780, 1020),
    "evening": Hours(1080, 1260),
}
SCRIPTS = (
    REPORTS_DISMISSAL,
    REPORTS_DISMISSAL,
    REPORTS_DISMISSAL,
    "no-answer",
    "busy",
    "hangs-up",
    "machine",
    "human-no",
)
WORDS = (
    "They have not paid us since January and nobody helps us here",
    "yes",
    "1",
    "2",
    "no",
    "They took our papers",
    "3",
)
SENDERS = 12
SETTLE_SECONDS = 240.0
END_SECONDS = 20.0
QUIET = 3
"""So many looks in a row must find nothing to do."""


@dataclass(frozen=True)
class Outcome:
    """What a campaign did and found."""

    seed: int
    database: str
    struck: Counter[Kind]
    workers: int
    dials: int
    texts: int
    acknowledged: int
    dispositions: Counter[str]
    broken: Sequence[str]
    seconds: float

    def lines(self) -> Iterator[str]:
        """The report, a line at a time."""
        yield f"seed {self.seed}, {self.database}: {sum(self.struck.values())} faults in {self.seconds:.0f} s"
        yield from (
            f"  {count:4}  {kind}" for kind, count in sorted(self.struck.items(), key=lambda each: -each[1])
        )
        yield f"  {self.workers} workers, {self.dials} calls; {self.texts} texts, {self.acknowledged} acknowledged at once"
        yield "  " + ", ".join(f"{name} {count}" for name, count in self.dispositions.most_common())
        yield from (f"  BROKEN: {each}" for each in self.broken)
        yield "  every promise was kept" if not self.broken else f"  {len(self.broken)} promises were broken"


def today() -> date:
    """The worker's day on which a campaign plays: tomorrow, so that the clock need only be moved forward."""
    return datetime.now(ZONE).date() + timedelta(days=1)


def workers(count: int, seed: int, last: int) -> tuple[list[Worker], dict[str, Hours]]:
    """Workers who want to be called until the ``last`` minute of the day, and when that is for each number."""
    chance = random.Random(f"{seed}|workers")  # noqa: S311 - to be repeated, not to be secret
    made, hours = [], {}
    for n in range(count):
        number = f"+62812{10_000_000 + n}"
        if chance.random() < 0.4:
            wish, hours[number] = chance.choice([part for part in PARTS.items() if part[1].start <= last])
        else:
            minute = chance.randrange(480, max(485, last), 5)
            wish = f"{today()} {minute // 60:02}:{minute % 60:02}"
            hours[number] = Hours(minute, minute + EXACT)
        made.append(
            Worker(
                number=number,
                alias=f"W-{n}",
                preferred_time=wish,
                script=chance.choice(SCRIPTS),
                timezone=str(ZONE),
            )
        )
    return made, hours


class Campaign:
    """One run against one station."""

    def __init__(self, at: Station, faults: Sequence[Fault], seed: int) -> None:
        self._at = at
        self._faults = faults
        self._seed = seed
        self._chance = random.Random(f"{seed}|texts")  # noqa: S311 - to be repeated, not to be secret
        self._glide = min(MOST_MINUTES, (ENDS - BEGINS) / len(faults))
        last = int(BEGINS + self._glide * len(faults))
        self._people, self._hours = workers(max(12, len(faults)), seed, max(last, BEGINS + EXACT))
        self._weather = Weather(at, [worker.number for worker in self._people])
        self._texts: list[str] = []
        self._struck: Counter[Kind] = Counter()

    def run(self) -> Outcome:
        """Inject every fault, let everything settle, and look at the promises."""
        began = time.monotonic()
        self._begin()
        for fault in self._faults:
            self._at.keep()
            self._write()
            time.sleep(fault.after)
            self._weather.strike(fault)
            self._struck[fault.kind] += 1
            self._weather.move(self._glide * 60)
        self.settle()
        return self._judge(time.monotonic() - began)

    def _begin(self) -> None:
        start = datetime.combine(today(), datetime.min.time(), ZONE) + timedelta(minutes=BEGINS)
        self._weather.move((start - wall_time()).total_seconds())
        path = self._at.folder / "upload.csv"
        path.write_text(
            upload(self._people, audit_date=(today() - timedelta(days=6)).isoformat()), encoding="utf-8"
        )
        handsets = [
            {"number": each.number, "name": each.alias, "pass_word": each.pass_word, "script": each.script}
            for each in self._people
        ]
        self._at.network.post("/sim/handsets", handsets)
        report = patiently(lambda: bring_in(self._at.service, read(path)))
        if report.rejected:
            raise RuntimeError("the upload of the campaign was refused")

    def _write(self) -> None:
        """One of a dozen workers writes to the hotline."""
        sender = f"+628199{1_000_000 + self._chance.randrange(SENDERS)}"
        self._texts.append(self._at.network.text(sender, self._chance.choice(WORDS)))

    # --- afterwards ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Fair weather: everything runs again, and leases run out, until nothing is left to do (or time is up)."""
        self._weather.clear()
        for process in self._at.processes():
            os.kill(process, signal.SIGCONT)
        deadline, quiet = time.monotonic() + SETTLE_SECONDS, 0
        while quiet < QUIET and time.monotonic() < deadline:
            self._at.keep()
            if self._at.is_ready():
                self._weather.age(130)
            time.sleep(0.5)
            quiet = 0 if list(promises.broken(self._evidence())) else quiet + 1
        self._at.network.idle()

    def _evidence(self) -> promises.Evidence:
        return patiently(
            lambda: promises.gather(self._at, self._texts, self._weather.moves, self._hours, ZONE)
        )

    def _judge(self, seconds: float) -> Outcome:
        seen = self._evidence()
        return Outcome(
            self._seed,
            self._at.service.database.dialect,
            self._struck,
            len(self._people),
            len(seen.dials),
            len(self._texts),
            len(seen.acknowledged),
            Counter(row.disposition for row in seen.attempts.values()),
            promises.broken(seen),
            seconds,
        )


def run(folder: Path, database_url: str, count: int, seed: int) -> Outcome:
    """One campaign in a folder of its own, on an empty database."""
    kind = "sqlite" if database_url.startswith("sqlite") else "postgresql"
    faults = schedule(seed, count, kind)
    with station(
        folder,
        database_url,
        log_level="WARNING",
        movable=True,
        more=lambda _network: {"POLL_MINUTES": "1", "WORK_PROCESSES": "2"},
        speed=40,
        hang_seconds=80,
        log_limit=200_000,
    ) as at:
        at.start("work-2")
        try:
            outcome = Campaign(at, faults, seed).run()
        finally:
            late = end_in_order(at)
        return replace(outcome, broken=[*outcome.broken, *(f"{part} did not end in order" for part in late)])


def end_in_order(at: Station) -> list[str]:
    """End everything as an operator does; gives the parts that had to be killed."""
    for process in at.running.values():
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    late = []
    for part, process in at.running.items():
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is None:
            late.append(part)
            at.end(part)
    return late


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database for a run from the command line."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'voiceback.db'}"
        return
    with postgres_running() as server:
        yield server.create("campaign")


def main() -> int:
    """The command. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    chosen = parser.parse_args()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    with (
        tempfile.TemporaryDirectory(prefix="vb-campaign-") as name,
        database(chosen.database, Path(name)) as url,
    ):
        outcome = run(Path(name), url, chosen.faults, chosen.seed)
    sys.stdout.write("\n".join(outcome.lines()) + "\n")
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
