"""Tables on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import median


def progress(text: str) -> None:
    """Say what is going on, on standard error, so that the tables can be kept apart."""
    print(f"… {text}", file=sys.stderr, flush=True)


class Bar:
    """How far a long thing is, on standard error: drawn again and again on a terminal, else a line for each tenth."""

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._began = time.monotonic()
        self._told = 0

    def tell(self, done: int) -> None:
        """So much of the whole is done."""
        percent = 100 * done // self._total
        step = 1 if sys.stderr.isatty() else 10
        if percent // step == self._told // step:
            return
        self._told = percent
        spent = time.monotonic() - self._began
        bar = "#" * (percent // 4) + "." * (25 - percent // 4)
        line = f"… {bar} {percent:3} % in {spent:,.0f} s, about {spent / done * (self._total - done):,.0f} s more"
        if sys.stderr.isatty():
            print(f"\r{line}   ", end="" if done < self._total else "\n", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Print one table: the first column to the left, the others to the right; then the notes."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    print(f"\n{title}")
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(cells).rstrip())
    for note in notes:
        print(f"  {note}")
    sys.stdout.flush()


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """The median of the rounds' ratios, and their least and greatest: each round is compared with itself."""
    each = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    return median(each), each[0], each[-1]
