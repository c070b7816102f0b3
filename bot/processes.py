"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_MARK = "VOICEBACK_CHILD_OF"


def start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start ``python arguments…`` in a session of its own.

    Ctrl-C in a terminal goes to the parent alone, which then ends its children in order. The child calls
    :func:`end_with_parent`, so that a parent that is killed leaves nobody behind.
    """
    environment = os.environ | {_MARK: str(os.getpid())}
    return subprocess.Popen([sys.executable, *arguments], start_new_session=True, env=environment)  # noqa: S603 - ourselves


def end_with_parent() -> None:
    """If :func:`start` started this process, have the kernel end it when its parent dies (Linux only)."""
    parent = os.environ.get(_MARK)
    if parent == str(os.getppid()) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
