"""Composition: RQ workers and the clock; nothing else.

``voiceback work`` runs one process for the clock and one for each worker, and starts again any that dies.
Where IMAP_URL is set, one more process reads the hotline's mailbox. Run as ``python worker.py clock``,
``jobs`` or ``mailbox``, it is one of these processes.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType

import structlog
from redis.exceptions import RedisError
from rq import Queue
from sqlalchemy.exc import SQLAlchemyError

from bot import logs, processes, queue, tick
from bot.errors import VoicebackError
from bot.service import Service, open_service
from bot.settings import Settings, load
from channels.mailbox import Place, Reader

JOB_TIMEOUT_SECONDS = 60
LOOK_SECONDS = 1.0
"""How often a dead child or a dead embedded Redis is looked for."""
TIDY_SECONDS = 10.0
ALIVE_SECONDS = 0.9
"""How often the clock writes that it is alive, at most."""

log = structlog.get_logger()


def clock(settings: Settings) -> None:
    """Beat until told to stop. A database or Redis that is away is waited for."""
    stop = _stop_on_signal()
    service = open_service(settings)
    jobs: Queue | None = None
    tidied = told = float("-inf")
    while not stop.is_set():
        started = time.monotonic()
        try:
            if started - told > ALIVE_SECONDS:
                tick.alive(service, tick.CLOCK)
                told = started
            jobs = jobs or queue.queue(queue.connect(settings))
            hand_out(service, jobs)
            if started - tidied > TIDY_SECONDS:
                tick.tidy(service)
                tidied = started
        except (SQLAlchemyError, RedisError, VoicebackError) as error:
            log.error("beat_failed", error=type(error).__name__)
            jobs = None
        stop.wait(max(0.0, settings.clock_beat_seconds - (time.monotonic() - started)))


def hand_out(service: Service, jobs: Queue) -> None:
    """One beat: lease what is due, and enqueue a job for it as soon as it is leased."""
    for work in tick.beat(service):
        queue.enqueue(jobs, f"channels.jobs.{work.job}", *work.ids, timeout=JOB_TIMEOUT_SECONDS)


def jobs(settings: Settings) -> None:
    """Run jobs until told to stop; the job under way is finished first."""
    queue.worker(queue.connect(settings)).work(logging_level=settings.log_level)


def mailbox(settings: Settings) -> None:
    """Read the hotline's mailbox until told to stop."""
    stop = _stop_on_signal()
    place = Place.parse(settings.imap_url.get_secret_value())
    Reader(open_service(settings), place).keep_reading(stop)


def parts(settings: Settings) -> list[str]:
    """The processes to run. Raises :class:`bot.errors.ConfigurationError` for a mailbox that cannot be meant."""
    wanted = ["clock", *["jobs"] * settings.work_processes]
    if settings.email_on and (url := settings.imap_url.get_secret_value()):
        Place.parse(url)
        wanted.append("mailbox")
    return wanted


def work(settings: Settings) -> int:
    """Run the clock and the workers until told to stop. Gives the exit code."""
    stop = _stop_on_signal()
    open_service(settings).database.dispose()
    wanted = parts(settings)
    with queue.kept(settings) as redis:
        running = [processes.start([__file__, part]) for part in wanted]
        log.info("working", processes=len(running))
        while not stop.wait(LOOK_SECONDS):
            redis.look()
            for index, process in enumerate(running):
                if process.poll() is not None:
                    log.error("process_died", part=wanted[index], code=process.returncode)
                    running[index] = processes.start([__file__, wanted[index]])
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return 0


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def main(part: str) -> int:
    """Run one part as a process of its own."""
    processes.end_with_parent()
    settings = load()
    logs.set_up(settings.log_level)
    {"clock": clock, "jobs": jobs, "mailbox": mailbox}[part](settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
