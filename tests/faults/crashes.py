"""Kill -9 at every moment of a journey: ``python -m tests.faults.crashes --database sqlite|postgresql``.

A plot is played once while everything that clock, worker and web do is written down (:mod:`tests.faults.tap`). Then it is
played again for every line of it: there the process is killed, another takes its place, leases run out, the provider
repeats what was not answered, and in the end all promises must hold (:mod:`tests.faults.promises`). Nobody picks the points.
Exit code 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bot import logs
from tests.faults import tap
from tests.faults.cast import ROLES
from tests.faults.plots import PLOTS, Plot
from tests.faults.stage import Stage, stage
from tests.faults.tap import Deed, Moment
from tests.postgres import running as postgres_running


@dataclass(frozen=True)
class Crash:
    """One performance in which a process was killed."""

    at: Moment
    met: bool
    """Whether it came to that moment, and died there."""
    broken: Sequence[str]
    seconds: float


def points(on: Stage, roles: Sequence[str], known: set[Deed], *, lasting_only: bool) -> list[Moment]:
    """Play without a crash; gives the moments to be killed at that are not known from earlier plots.

    Raises RuntimeError if a promise is broken already.
    """
    broken = on.play()
    if broken:
        raise RuntimeError(f"{on.plot.name}, nobody killed: {'; '.join(broken)}")
    seen = tap.read(on.company.trace)
    return [at for role in roles for at in tap.moments(seen, role, known, lasting_only=lasting_only)]


def crash(on: Stage, at: Moment) -> Crash:
    """Play with one crash."""
    began = time.monotonic()
    broken = on.play(at.role, at.point)
    last = [each for each in tap.read(on.company.trace) if each.role == at.role and each.point == at.point]
    met = bool(last) and last[0].what == at.what
    return Crash(at, met, broken, time.monotonic() - began)


def main() -> int:
    """The command. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--plot", action="append", choices=list(PLOTS), help="only this one; may be repeated")
    parser.add_argument("--role", action="append", choices=ROLES, help="only this one; may be repeated")
    parser.add_argument(
        "--lasting", action="store_true", help="only moments beside what outlives the process"
    )
    parser.add_argument("--every", type=int, default=1, help="only every so manieth of them")
    parser.add_argument("--point", help="only this one: unit.moment")
    parser.add_argument("--list", action="store_true", help="kill nobody; print the moments")
    chosen = parser.parse_args()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    logs.set_up("ERROR")
    known: set[Deed] = set()
    failed = False
    with ExitStack() as after:
        server = after.enter_context(postgres_running()) if chosen.database == "postgresql" else None
        for name in chosen.plot or PLOTS:
            with stage(PLOTS[name], server) as on:
                at = points(on, chosen.role or ROLES, known, lasting_only=chosen.lasting)[:: chosen.every]
                if chosen.point:
                    at = [each for each in at if f"{each.point.unit}.{each.point.moment}" == chosen.point]
                failed |= _list(on.plot, at) if chosen.list else _run(on, at)
    return 1 if failed else 0


def _list(plot: Plot, points: Sequence[Moment]) -> bool:
    for at in points:
        _say(_where(plot, at))
    _say(f"{plot.name}: {len(points)} points")
    return False


def _run(on: Stage, points: Sequence[Moment]) -> bool:
    """Play one plot in all its crashes and print what came of it; gives whether a promise was broken."""
    began, count, missed, broken = time.monotonic(), Counter[str](), Counter[str](), 0
    for at in points:
        each = crash(on, at)
        count[at.role] += 1
        if not each.met:
            missed[at.role] += 1
            _say(f"  not met: {_where(on.plot, at)}")
        broken += bool(each.broken)
        if each.broken:
            _say(f"  BROKEN: {_where(on.plot, at)}: {'; '.join(each.broken)}")
    told = ", ".join(f"{role} {count[role]} (not met {missed[role]})" for role in count)
    _say(f"{on.plot.name}: {told or 'no points'}; {broken} broken; {time.monotonic() - began:.0f} s")
    return bool(broken)


def _where(plot: Plot, at: Moment) -> str:
    return f"{plot.name}, {at.role} {at.point.unit}.{at.point.moment}, {at.point.about}, {at.what}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
