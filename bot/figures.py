"""What sums tell together: rates and times of calls, of the line and of cases. Pure arithmetic over counts.

A rate whose denominator is zero is None. A median or 90th percentile is the upper end of the class in which it lies
(:data:`bot.tally.WAITS`, :data:`bot.tally.SPANS`), so it says "at most"; infinite above the last class.
Definitions: AAPOR, Standard Definitions (:mod:`bot.rates`); service level, abandonment and handling time as call
centres use them; remedy and validation by the project's case protocol; docs/callbacks.md and docs/console.md.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.callbacks.states import CallbackState, Disposition
from bot.cases.lifecycle import CaseState, ClockName
from bot.rates import Cases, ratio
from bot.tally import MORE, SPANS, WAITS, Count, What
from bot.transfers import TransferOutcome

OTHER: Final = "other"
VEILED: Final = {
    Disposition.CRITICAL.value: Disposition.COMPLETED.value,
    Disposition.UNSAFE.value: OTHER,
    Disposition.NOT_SAFE_NOW.value: Disposition.LATER.value,
    CallbackState.UNSAFE.value: OTHER,
}
"""Codes that would tell what a worker said or fears, and those under which they are counted here."""
SERVICE_LEVEL: Final = 20
"""Seconds within which a caller should be taken: one of :data:`bot.tally.WAITS`."""
_GIVEN_UP: Final = f"{CallbackState.GIVEN_UP} "
_NORMAL: Final = 1.959964
"""The quantile of the normal distribution for 95 of 100."""

Sums = Mapping[str, Counter[str]]
"""Numbers by code, by what is counted."""


def sums(counts: Iterable[Count]) -> Sums:
    """Numbers over all days and clients that are given."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in counts:
        found[each.what][each.code] += each.number
    return found


# --- calls ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Calls:
    """What became of callbacks in some time."""

    attempts: int
    answered: int
    """Attempts that a person answered: contacts."""
    workers: int
    """Workers who were called for the first time ever."""
    dialled: int
    reached: int
    given_up: Mapping[str, int]
    """By reason, most frequent first."""
    otherwise: int
    """Callbacks that ended because the worker wanted no call, or should get none."""
    missed: int
    attempts_per_complete: float | None
    in_window: float | None
    broken: float | None
    safe: float | None
    completion: float | None
    cases: Cases

    @property
    def promised(self) -> int:
        """Windows that came: those with a dial and those without."""
        return self.dialled + self.missed


def calls(of: Sums) -> Calls:
    """Callbacks and attempts."""
    dialled, missed, ended = of[What.DIALLED], of[What.MISSED]["window"], of[What.ENDED]
    given_up = Counter(
        {code.removeprefix(_GIVEN_UP): number for code, number in ended.items() if code.startswith(_GIVEN_UP)}
    )
    cases, heard = Cases.of(of[What.OUTCOME]), of[What.HEARD]
    attempts = sum(number for code, number in of[What.ATTEMPT].items() if code != Disposition.RELEASED)
    reached = ended[CallbackState.REACHED]
    return Calls(
        attempts=attempts,
        answered=heard["answered"],
        workers=of[What.WORKER]["called"],
        dialled=dialled.total(),
        reached=reached,
        given_up={VEILED.get(code, code): number for code, number in given_up.most_common()},
        otherwise=ended.total() - reached - given_up.total(),
        missed=missed,
        attempts_per_complete=ratio(attempts, cases.complete),
        in_window=ratio(dialled["inside"], dialled.total()),
        broken=ratio(missed, missed + dialled.total()),
        safe=ratio(heard["safe"], heard["answered"]),
        completion=ratio(heard["finished"], heard["began"]),
        cases=cases,
    )


# --- the line ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """What became of callers who asked for a person, in some time. Times are seconds."""

    offered: int
    """All who asked for a person, also when nobody was there."""
    taken: int
    """Those whom an agent took: handled."""
    left: int
    """Those who hung up while they waited."""
    at_once: int
    """Those who hung up within five seconds."""
    message: int
    nobody: int
    in_time: int
    """Those who were taken within :data:`SERVICE_LEVEL`."""
    wait: Timing
    """The time to a person, of those who were taken."""
    talk: float | None
    """On average."""
    wrap: float | None
    """On average, of the talks that were wrapped up."""

    @property
    def answer_rate(self) -> float | None:
        """Taken / offered."""
        return ratio(self.taken, self.offered)

    @property
    def abandonment(self) -> float | None:
        """Hung up while waiting / offered."""
        return ratio(self.left + self.at_once, self.offered)

    @property
    def abandonment_later(self) -> float | None:
        """The same without those who hung up within five seconds."""
        return ratio(self.left, self.offered - self.at_once)

    @property
    def service_level(self) -> float | None:
        """Taken within :data:`SERVICE_LEVEL` / offered."""
        return ratio(self.in_time, self.offered)

    @property
    def handling(self) -> float | None:
        """Average handling time: talk and wrap-up. Nobody is put on hold."""
        return None if self.talk is None else self.talk + (self.wrap or 0.0)


def line(of: Sums) -> Line:
    """The line of callers and agents."""
    by, waited, seconds = of[What.LINE], of[What.LINE_WAIT], of[What.LINE_SECONDS]
    taken = by[TransferOutcome.TALKED]
    return Line(
        offered=by.total() - by["wrapped"],
        taken=taken,
        left=by[TransferOutcome.GONE],
        at_once=by["gone_at_once"],
        message=by[TransferOutcome.MESSAGE],
        nobody=by[TransferOutcome.NOBODY],
        in_time=sum(number for code, number in waited.items() if code != MORE and int(code) <= SERVICE_LEVEL),
        wait=timing(waited, WAITS),
        talk=ratio(seconds["talk"], taken),
        wrap=ratio(seconds["wrap"], by["wrapped"]),
    )


# --- cases ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clock:
    """How often a clock of cases was kept when it stopped."""

    name: str
    kept: int
    broken: int

    @property
    def share(self) -> float | None:
        """Kept / all that have stopped."""
        return ratio(self.kept, self.kept + self.broken)


@dataclass(frozen=True, slots=True)
class Handling:
    """What became of cases in some time."""

    opened: int
    closed: int
    """Closings, also of cases that were closed before."""
    reopened: int
    review: Timing
    """From receipt to when a person first read it."""
    reply: Timing
    """From receipt to the first answer of a person."""
    triage: Timing
    close: Timing
    """From receipt to the first closing, of those that were closed: :func:`survival` also heeds the open ones."""
    clocks: tuple[Clock, ...]
    states: Counter[str]
    """Cases that came to a state, by state."""
    grievances: int
    grievances_called: int
    """Those of them that were told in a callback."""
    completes: int
    workers: int
    """Workers who completed a callback for the first time ever."""
    retaliation: Share
    """Workers who told of retaliation / those."""

    @property
    def substantiated(self) -> int:
        """Fully or partly: violations."""
        return self.states[CaseState.SUBSTANTIATED] + self.states[CaseState.PARTLY]

    @property
    def substantiation(self) -> float | None:
        """(Fully + partly) / (fully + partly + not). What was inconclusive is told apart."""
        return ratio(self.substantiated, self.substantiated + self.states[CaseState.UNSUBSTANTIATED])

    @property
    def remediation(self) -> float | None:
        """The employer says that it is done / substantiated."""
        return ratio(self.states[CaseState.EMPLOYER_SAYS_DONE], self.substantiated)

    @property
    def validated(self) -> float | None:
        """The worker confirmed it / substantiated."""
        return ratio(self.states[CaseState.CLOSED_VALIDATED], self.substantiated)

    @property
    def unreached(self) -> float | None:
        """The worker could not be asked / substantiated."""
        return ratio(self.states[CaseState.CLOSED_UNREACHED], self.substantiated)

    @property
    def gap(self) -> float | None:
        """What employers say is done and no worker confirmed: remediation - validated."""
        done, confirmed = self.remediation, self.validated
        return None if done is None or confirmed is None else done - confirmed

    @property
    def reopening(self) -> float | None:
        """Reopened / closings."""
        return ratio(self.reopened, self.closed)

    @property
    def per_100_completes(self) -> float | None:
        """Things reported in callbacks, on 100 completed ones."""
        found = ratio(self.grievances_called, self.completes)
        return None if found is None else 100 * found


def handling(of: Sums) -> Handling:
    """Cases, and what was reported."""
    events, clocks, workers = of[What.CASE], of[What.CASE_CLOCK], of[What.WORKER]
    return Handling(
        opened=events["opened"],
        closed=events["closed"],
        reopened=events["reopened_closed"],
        review=timing(of[What.CASE_REVIEW], SPANS),
        reply=timing(of[What.CASE_REPLY], SPANS),
        triage=timing(of[What.CASE_TRIAGE], SPANS),
        close=timing(of[What.CASE_CLOSE], SPANS),
        clocks=tuple(Clock(name, clocks[f"{name} kept"], clocks[f"{name} broken"]) for name in ClockName),
        states=Counter({state.value: events[state] for state in CaseState}),
        grievances=of[What.GRIEVANCE].total(),
        grievances_called=of[What.GRIEVANCE]["callback"],
        completes=Cases.of(of[What.OUTCOME]).complete,
        workers=workers["completed"],
        retaliation=share(workers["retaliation"], workers["completed"]),
    )


# --- arithmetic -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timing:
    """Times that were counted by class: how many, and within how many seconds half and nine of ten of them lie."""

    number: int
    median: float | None
    p90: float | None


def timing(classes: Mapping[str, int], limits: Sequence[int]) -> Timing:
    """From numbers by class."""
    return Timing(sum(classes.values()), quantile(classes, limits, 0.5), quantile(classes, limits, 0.9))


def quantile(classes: Mapping[str, int], limits: Sequence[int], part: float) -> float | None:
    """The upper end of the class in which a quantile lies; infinite above the last limit, None of nothing."""
    total, below = sum(classes.values()), 0
    if not total:
        return None
    for limit in limits:
        below += classes.get(str(limit), 0)
        if below >= part * total:
            return float(limit)
    return math.inf


def survival(over: Mapping[str, int], still: Mapping[str, int], limits: Sequence[int]) -> float | None:
    """Within how many seconds half of all come to their end, heeding those that have not yet: the median of the
    life-table form of the Kaplan-Meier estimate. ``over`` are the times of those that ended, ``still`` the present
    ages of the others, both by class. Infinite if half have not ended within any class, None if none has ended."""
    if not sum(over.values()):
        return None
    left: float = sum(over.values()) + sum(still.values())
    surviving = 1.0
    for limit in limits:
        ended, open_yet = over.get(str(limit), 0), still.get(str(limit), 0)
        # Who left the count within a class was exposed for half of it.
        exposed = left - open_yet / 2
        if ended:
            surviving *= 1 - min(1.0, ended / exposed)
        if surviving <= 0.5:
            return float(limit)
        left -= ended + open_yet
    return math.inf


@dataclass(frozen=True, slots=True)
class Share:
    """A share with the interval in which it lies with 95 of 100 chances; all None where there is nothing."""

    part: int
    whole: int
    value: float | None
    low: float | None
    high: float | None


def share(part: int, whole: int) -> Share:
    """A share with Wilson's interval (E. B. Wilson, 1927), which also holds for small numbers."""
    if not whole:
        return Share(part, whole, None, None, None)
    value, z = part / whole, _NORMAL
    middle = value + z * z / (2 * whole)
    spread = z * math.sqrt(value * (1 - value) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return Share(part, whole, value, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))
