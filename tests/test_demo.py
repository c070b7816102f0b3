"""`voiceback demo` from an empty folder: ready by itself, stopped by Ctrl-C, and going on where it ended."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.faults.station import PATIENCE, eventually, family
from tests.journeys.world import ROOT
from tests.ports import free_port


@contextmanager
def demo(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A running demo, and what it wrote about itself."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    web, world = free_port(), free_port()
    with (folder / "demo.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, str(ROOT / "cli.py"), "demo"),
                *("--port", str(web), "--simulator-port", str(world)),
            ],
            cwd=folder,
            env=environment
            | {
                "VOICEBACK_FLOWS": str(ROOT / "flows"),
                "VOICEBACK_LOCALES": str(ROOT / "locales"),
                "NO_PROXY": "127.0.0.1",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(lambda: announced(folder, process), "the demo")
        yield process, json.loads((folder / "var" / "demo.json").read_text(encoding="utf-8"))
    finally:
        for each in reversed(family(process.pid)):
            os.kill(each, signal.SIGKILL)
        process.wait()


def announced(folder: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether the demo said where to look."""
    log = (folder / "demo.log").read_text(encoding="utf-8")
    assert process.poll() is None, log
    return log.count("Voiceback is running") > log.count("stopped;")


def interrupt(process: subprocess.Popen[bytes]) -> float:
    """Press Ctrl-C; seconds until everything has ended."""
    children = family(process.pid)
    assert len(children) > 4
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in children), "all ended")
    return time.monotonic() - started


def test_the_demo_starts_stops_and_goes_on(tmp_path: Path) -> None:
    with demo(tmp_path) as (process, first):
        path = tmp_path / "var" / "demo.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert requests.get(first["web"] + "/readyz", timeout=PATIENCE).json()["ready"]
        assert requests.get(first["console"], timeout=PATIENCE).status_code == 200
        assert requests.get(first["phones"], timeout=PATIENCE).status_code == 200
        eventually(lambda: answered_by_mail(first), "an answer by mail")
        # Somewhere in the sample audit it is the right hour, or it will be soon.
        eventually(lambda: rings(first["phones"]), "a phone rings")
        assert interrupt(process) < 45
    with demo(tmp_path) as (process, second):
        same = ("twilio", "supervisor", "admin", "agent", "hotline", "caller")
        assert [first[key] for key in same] == [second[key] for key in same]
        shown = [each for each in callbacks(tmp_path) if each["round"] == 1]
        assert len(shown) == len({each["id"] for each in shown}) == 12
        assert any(each["attempts"] for each in shown)
        moved = requests.post(second["phones"] + "sim/actions/0", timeout=PATIENCE)
        assert moved.json().get("ok", True), moved.text
        interrupt(process)


def answered_by_mail(known: dict[str, Any]) -> bool:
    """Whether a worker who wrote a mail, which the hotline reads by IMAP, has an answer; writes it first."""
    number = "+6281200000001"
    box = requests.get(known["phones"] + "sim/mail", timeout=PATIENCE).json()["boxes"].get(number, [])
    if not box:
        words = {"text": "Upah lembur kami tidak dibayar.", "subject": "Upah"}
        requests.post(
            f"{known['phones']}sim/mail/{number}/write", json=words, timeout=PATIENCE
        ).raise_for_status()
    return any(not letter["mine"] and letter["reply_to"].startswith("line+") for letter in box)


def rings(phones: str) -> bool:
    """Whether a phone was called; moves the demo's time on by an hour until one is."""
    calls: list[object] = requests.get(phones + "sim/state?parts=calls", timeout=PATIENCE).json()["calls"]
    if not calls:
        requests.post(phones + "sim/actions/0", timeout=PATIENCE)
        time.sleep(1)
    return bool(calls)


def callbacks(folder: Path) -> list[dict[str, Any]]:
    """What ``voiceback callbacks show`` tells in the demo's folder."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "callbacks", "show", "--json"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "VOICEBACK_FLOWS": str(ROOT / "flows"),
            "VOICEBACK_LOCALES": str(ROOT / "locales"),
        },
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
