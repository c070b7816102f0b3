"""How a rehearsal looks on a terminal, or in a log."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from rehearsal import findings
from rehearsal.population import Size
from rehearsal.year import Outcome, Progress, rehearse

INTERRUPTED = 130
BROKEN = 1
_LINE_SECONDS = 10.0
"""How often a line is printed where there is no terminal."""
_ESTIMATE_SECONDS = 300.0
"""What is left is reckoned from the pace of the last minutes: days with audits and days without lie among them."""
_WORLD = frozenset({"simulator", "rehearsal"})
"""What is spent on the make-believe world, and not by the service."""


def run(size: Size, seed: int, database_url: str | None, *, keep: bool) -> Outcome:
    """Rehearse in a new folder and say on standard error how far it is; the folder goes unless it is to be kept.

    Raises as :func:`rehearsal.year.rehearse`.
    """
    folder = Path(tempfile.mkdtemp(prefix="voiceback-year-"))
    try:
        with _telling(size) as tell:
            return rehearse(folder, size, seed, database_url=database_url, tell=tell)
    finally:
        if keep:
            click.echo(f"kept: {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def exit_code(outcome: Outcome) -> int:
    """0 if all went well, 1 for a broken promise, 130 if it was interrupted."""
    if outcome.broken:
        return BROKEN
    return 0 if outcome.finished else INTERRUPTED


def lines(outcome: Outcome) -> Sequence[str]:
    """The report for a reader."""
    found = outcome.findings
    total = sum(outcome.cpu.values()) or 1.0
    world = sum(used for part, used in outcome.cpu.items() if part in _WORLD)
    verdict = "broken: " + ", ".join(outcome.broken) if outcome.broken else "kept"
    return (
        f"seed {outcome.seed}, {outcome.size.workers:,} workers of {outcome.size.factories:,} factories, "
        f"{outcome.days_passed:,.0f} days in {outcome.seconds:,.0f} s "
        f"({outcome.stops_of_the_clock:,} stops of the clock)"
        + ("" if outcome.finished else "; interrupted"),
        *findings.lines(found),
        "CPU seconds      "
        + ", ".join(f"{part} {used:,.1f}" for part, used in sorted(outcome.cpu.items()))
        + f"; the make-believe world and this command {100 * world / total:.0f} %",
        f"promises were    {verdict}",
    )


@contextmanager
def _telling(size: Size) -> Iterator[Callable[[Progress], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn()),
    )
    with Bar(*columns, console=console, speed_estimate_period=_ESTIMATE_SECONDS) as bar:
        task = bar.add_task("starting", total=size.workers)

        def tell(progress: Progress) -> None:
            bar.update(task, completed=progress.done, description=f"{progress.now:%Y-%m-%d %H:%M} UTC")

        yield tell


class _Lines:
    """Plain lines, not too many of them."""

    def __init__(self) -> None:
        self._told_at = float("-inf")

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._told_at < _LINE_SECONDS:
            return
        self._told_at = time.monotonic()
        click.echo(
            f"{progress.now:%Y-%m-%d %H:%M} UTC: {progress.done:,} of {progress.workers:,} workers done, "
            f"{progress.brought_in:,} brought in",
            err=True,
        )
