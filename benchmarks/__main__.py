"""``python -m benchmarks [inbound|flow|race|drain|channels|dial|size|all]``: measure, and print numbers and ratios."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import channels, dialling, drain, flow, inbound, machine, race, size
from benchmarks.databases import KINDS

_ALL = ("inbound", "flow", "drain", "channels", "race")


def main() -> None:
    """Run what was asked for and print one table each; exit code 1 if the race lost or doubled an answer."""
    arguments = _parser().parse_args()
    kinds = [arguments.database] if arguments.database else list(KINDS)
    chosen = _ALL if arguments.what == "all" else (arguments.what,)
    print("\n".join(machine.facts()), flush=True)
    for kind in kinds:
        _measure(kind, chosen, arguments)
    if "flow" in chosen:
        flow.show(flow.measure(arguments.seconds, arguments.rounds))
    if "race" in chosen:
        races = {kind: race.run(kind) for kind in kinds}
        for kind, found in races.items():
            race.show(kind, found)
        if not all(found.clean for found in races.values()):
            sys.exit(1)


def _measure(kind: str, chosen: Sequence[str], given: argparse.Namespace) -> None:
    """What is measured once on each kind of database."""
    if "inbound" in chosen:
        inbound.show(kind, inbound.measure(kind, given.seconds, given.rounds))
    if "drain" in chosen:
        drain.show(kind, drain.measure(kind, given.workers, given.rounds))
    if "channels" in chosen:
        channels.show(kind, channels.measure(kind, given.workers, given.rounds))
    if "dial" in chosen:
        dialling.show(kind, dialling.measure(kind, given.workers, given.rounds))
    if "size" in chosen:
        size.show(kind, size.measure(kind, given.callbacks or size.SIZES, given.repeats))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*_ALL, "dial", "size", "all"])
    parser.add_argument("--database", choices=KINDS, help="one kind of database; without it both")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run (4)")
    parser.add_argument("--workers", type=int, default=200, help="of drain, channels and dial, at once (200)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are printed (5)")
    parser.add_argument(
        "--repeats", type=int, default=size.REPEATS, help="of each thing that size times (25)"
    )
    parser.add_argument(
        "--callbacks",
        type=int,
        nargs="+",
        metavar="N",
        help="of size: how many in the database, rising; each with ten messages (10000 100000)",
    )
    return parser


if __name__ == "__main__":
    main()
