"""Puts one simulator together and serves it: in its own thread for tests, or as a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from simulator.botapi import BotApi
from simulator.calls import Switchboard
from simulator.chaos import Chaos
from simulator.config import Config, parse_config
from simulator.control import Control
from simulator.errors import RestError
from simulator.media import Media
from simulator.messages import PostOffice
from simulator.pace import Pace
from simulator.page import Page
from simulator.people import People
from simulator.post import Post
from simulator.rest import Handler, Rest, refusal
from simulator.state import StateFile
from simulator.updates import Updates
from simulator.webhooks import Webhooks
from simulator.world import World

log = logging.getLogger("simulator")

LARGEST_UPLOAD = 16 * 1024 * 1024
START_TIMEOUT = 15.0


class Simulator:
    """One make-believe world with its doors, inside an event loop."""

    def __init__(self, config: Config, state: Path | None = None) -> None:
        self.world = World(config)
        pace = Pace(config.speed, config.calls_per_second)
        self.webhooks = Webhooks(
            config.auth_token, pace, Chaos(config.chaos), config.webhook_timeout, config.log_limit
        )
        media = Media(self.webhooks, pace)
        self.switchboard = Switchboard(self.world, self.webhooks, media, pace)
        self.office = PostOffice(self.world, self.webhooks, pace)
        self.updates = Updates(self.world.chats, self.webhooks, pace, config.webhook_timeout)
        people = People(self.world, self.updates)
        bot = BotApi(self.world, self.updates, self.webhooks, pace.real(config.hang_seconds))
        self.post = Post(self.world, self.webhooks, pace, config.webhook_timeout)
        self.page = Page(self.world, self.switchboard, people, self.post)
        rest = Rest(self.world, self.switchboard, self.office, self.webhooks, pace)
        control = Control(
            self.world, self.switchboard, self.office, self.webhooks, media, self.updates, self.post
        )
        self._state = StateFile(self.world, self.post, state) if state else None
        self._saver: asyncio.Task[None] | None = None
        self._app = web.Application(client_max_size=LARGEST_UPLOAD, middlewares=[_calm])
        self._app.add_routes(
            [
                *(*rest.routes(), *control.routes(), *people.routes(), *bot.routes(), *self.post.routes()),
                *self.page.routes(),
            ]
        )
        self._runner: web.AppRunner | None = None

    async def open(self, host: str, port: int) -> str:
        """Begin to serve; the address that was bound (port 0 takes a free one)."""
        if self._state:
            self._state.load()
        await self.webhooks.open()
        await self.updates.open()
        await self.post.open(host)
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        bound = self._runner.addresses[0][1]
        self.world.base_url = f"http://{host}:{bound}"
        if self._state:
            self._saver = asyncio.get_running_loop().create_task(self._state.keep_saving())
        return self.world.base_url

    async def close(self) -> None:
        """Stop serving, drop what is going on, save."""
        self.page.close()
        if self._saver:
            self._saver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._saver
        if self._runner:
            await self._runner.cleanup()
        await self.switchboard.close()
        await self.office.close()
        await self.webhooks.close()
        await self.updates.close()
        if self._state:
            await self._state.save()
        await self.post.close()


class Running:
    """A simulator in a thread of its own. ``url`` is where it answers; :meth:`stop` ends it."""

    def __init__(self, config: Config, host: str, port: int, state: Path | None) -> None:
        self.url = ""
        self._config, self._host, self._port, self._state = config, host, port, state
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def begin(self) -> None:
        """Start the thread and wait until it serves; raises what kept it from starting."""
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT):
            raise TimeoutError("the simulator did not start in time")
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End the simulator and wait for it; may be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(START_TIMEOUT)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as failure:
            self._failure = failure
        finally:
            self._ready.set()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _live(self) -> None:
        simulator = Simulator(self._config, self._state)
        try:
            self.url = await simulator.open(self._host, self._port)
            self._ready.set()
            await self._stopping.wait()
        finally:
            await simulator.close()


def start(
    config: Config | Mapping[str, Any],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    state: Path | None = None,
) -> Running:
    """A simulator that serves in a thread of its own; ``config`` as in the JSON file.

    Raises :class:`simulator.errors.ConfigError` for a wrong configuration and ``OSError`` for a taken port.
    """
    ready = config if isinstance(config, Config) else parse_config(config)
    running = Running(ready, host, port, state)
    running.begin()
    return running


async def serve(config: Config, host: str, port: int, state: Path | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    simulator = Simulator(config, state)
    try:
        url = await simulator.open(host, port)
        log.info("the make-believe world is at %s", url)
        await stopping.wait()
    finally:
        await simulator.close()


@web.middleware
async def _calm(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An unexpected error is answered as Twilio's 20500 and logged by its kind only, for texts may hold numbers."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refusal(RestError(20404))
    except web.HTTPMethodNotAllowed:
        return refusal(RestError(20004))
    except (web.HTTPException, asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"
        log.error("a request broke with %s at %s", type(error).__name__, where)
        return refusal(RestError(20500))
