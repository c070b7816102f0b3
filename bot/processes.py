"""Child processes that never outlive their parent, and what processes spend."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_MARK = "VOICEBACK_CHILD_OF"


def start(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    log: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``python arguments…`` in a session of its own.

    ``folder`` is its working folder, ``environment`` what it gets instead of ours, ``log`` takes its words.
    Ctrl-C in a terminal goes to the parent alone, which then ends its children in order. The child calls
    :func:`end_with_parent`, so that a parent that is killed leaves nobody behind.
    """
    given = os.environ if environment is None else environment
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, *arguments],
        cwd=folder,
        start_new_session=True,
        env=dict(given) | {_MARK: str(os.getpid())},
        stdout=log,
        stderr=log,
    )


def children(process_id: int) -> list[int]:
    """The processes that a process started and that live; none where /proc is not there."""
    found: list[int] = []
    for listing in Path(f"/proc/{process_id}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in listing.read_text().split()]
    return found


def command_of(process_id: int) -> str:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parent_of(process_id: int) -> int | None:
    """The process that started a process, or took it over; None if it is gone."""
    try:
        return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process and its living and reaped children; 0 where /proc is not there."""
    total = 0.0
    waiting = [process_id]
    while waiting:
        current = waiting.pop()
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        waiting += children(current)
        # Fields 14 to 17 of proc(5), counted after the name: utime, stime, cutime, cstime.
        total += sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return total


def end_with_parent() -> None:
    """If :func:`start` started this process, have the kernel end it when its parent dies (Linux only)."""
    parent = os.environ.get(_MARK)
    if parent == str(os.getppid()) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
