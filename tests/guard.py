"""Servers of the test run: ended with it, however it ends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WATCH = """
cat >/dev/null
kill -QUIT "$1" 2>/dev/null
tries=50
while kill -0 "$1" 2>/dev/null && [ "$tries" -gt 0 ]; do tries=$((tries - 1)); sleep 0.1; done
kill -KILL "$1" 2>/dev/null
rm -rf -- "$2"
"""

guarded: set[int] = set()
"""Processes that belong to the whole run, not to a single test."""


@contextmanager
def guard(process_id: int, folder: Path) -> Iterator[None]:
    """While the block runs, a watcher stands by that ends the process and removes the folder if this
    process is killed; at the end of the block it does the same.
    """
    command = ["/bin/sh", "-c", _WATCH, "guard", str(process_id), str(folder)]
    # The watcher waits for the end of its input, which the kernel closes even after kill -9.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        ours = {process_id, watcher.pid}
        guarded.update(ours)
        try:
            yield
        finally:
            guarded.difference_update(ours)
