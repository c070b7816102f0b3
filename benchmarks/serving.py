"""Servers under load: ``voiceback serve`` as an operator starts it, and the plain contenders beside it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.processes import cpu_seconds

ROOT = Path(__file__).parents[1]
OURS = ("-m", "cli", "serve")
CONTENDER = ("-m", "benchmarks.contender")
_START_SECONDS = 60.0
_STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server on this machine."""

    port: int
    process_id: int

    def cpu_seconds(self) -> float:
        """What the server and its processes have spent so far, in user and system time."""
        return cpu_seconds(self.process_id)


class ServerFailed(Exception):
    """A server did not start; says what it printed."""


@contextmanager
def serving(command: tuple[str, ...], settings: dict[str, str], folder: Path) -> Iterator[Server]:
    """Run a server with these settings in ``folder`` for the length of the block."""
    port = _free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    # The folder is the working folder, so that no `.env` of a checkout is read.
    environment = kept | {"PYTHONPATH": str(ROOT)} | settings
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, port, log)
        yield Server(port, process.pid)
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_alive(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerFailed(log.read_text(encoding="utf-8", errors="replace")[-2000:])
        time.sleep(0.1)


def _is_alive(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # The server has a session of its own, so this reaches its workers and nobody else.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
