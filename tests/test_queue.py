"""Promises of the queue and of the embedded Redis under it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError  # noqa: A004 - the client's own error
from redis.retry import Retry
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from bot.errors import ConfigurationError
from bot.ids import new_id
from bot.queue import EmbeddedRedis, connect, enqueue, kept, queue, warn_if_not_persistent, worker
from bot.settings import Settings

_NUMBER = "+6281234567890"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for an embedded server of the test's own, which is ended whatever the test did."""
    path = Path(tempfile.mkdtemp(prefix="vb-own-")) / "var" / "redis"
    yield path
    if path.exists():
        EmbeddedRedis.start(path).stop()
    shutil.rmtree(path.parents[1])


def settings(redis_url: str = "") -> Settings:
    return Settings.model_validate({"redis_url": redis_url})


_OTHER_PROCESS = """
import sys
from pathlib import Path
from bot.queue import EmbeddedRedis
with EmbeddedRedis.start(Path(sys.argv[1])) as server:
    print(int(server.owned), server.connection.info("server")["process_id"], flush=True)
    sys.stdin.read()
"""


class OtherProcess:
    """Another process of ours that starts or attaches, and stays until it is told to end."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OTHER_PROCESS, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def said(self) -> tuple[bool, int]:
        """Whether it owns the server, and the server's process id."""
        assert self.process.stdout
        owned, server = self.process.stdout.readline().split()
        return owned == "1", int(server)

    def end(self) -> None:
        with self.process:
            pass
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        with self.process:
            pass


def process_id(server: EmbeddedRedis) -> int:
    facts: dict[str, Any] = server.connection.info("server")
    return int(facts["process_id"])


# --- the embedded server ------------------------------------------------------------------------


def test_second_starter_attaches_and_cannot_end_the_server(folder: Path) -> None:
    with EmbeddedRedis.start(folder) as owner:
        guest = EmbeddedRedis.start(folder)
        assert (owner.owned, guest.owned) == (True, False)
        assert process_id(guest) == process_id(owner)
        guest.stop()
        assert owner.connection.ping()


def test_attaching_without_a_server_says_what_to_do(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="voiceback work"):
        EmbeddedRedis.attach(folder)


def test_owner_ends_the_server_and_leaves_no_socket(folder: Path) -> None:
    server = EmbeddedRedis.start(folder)
    assert (folder / "redis.sock").is_socket()
    server.stop()
    server.stop()
    assert not list(folder.glob("*.sock"))
    assert not list(folder.glob("*.pid"))
    with pytest.raises(ConfigurationError):
        EmbeddedRedis.attach(folder)


def test_jobs_survive_a_restart(folder: Path) -> None:
    with EmbeddedRedis.start(folder) as first:
        job = enqueue(queue(first.connection), "channels.jobs.deliver", new_id(), timeout=30)
    with EmbeddedRedis.start(folder) as second:
        assert queue(second.connection).job_ids == [job]


def test_jobs_survive_a_killed_server_and_its_stale_socket(folder: Path) -> None:
    first = EmbeddedRedis.start(folder)
    job = enqueue(queue(first.connection), "channels.jobs.deliver", new_id(), timeout=30)
    os.kill(process_id(first), signal.SIGKILL)
    wait_until(lambda: not answers(first.connection))
    assert (folder / "redis.sock").is_socket()
    second = EmbeddedRedis.start(folder)
    assert queue(second.connection).job_ids == [job]
    first.stop()
    second.stop()


def test_server_outlives_its_killed_owner_and_the_next_one_adopts_it(folder: Path) -> None:
    owner = OtherProcess(folder)
    owned, server = owner.said()
    assert owned
    owner.kill()
    with EmbeddedRedis.start(folder) as adopter:
        assert adopter.owned
        assert process_id(adopter) == server
    with pytest.raises(ConfigurationError):
        EmbeddedRedis.attach(folder)


def test_two_starters_at_once_share_one_server(folder: Path) -> None:
    others = [OtherProcess(folder) for _ in range(3)]
    said = [other.said() for other in others]
    assert sorted(owned for owned, _ in said) == [False, False, True]
    assert len({server for _, server in said}) == 1
    guests_first = sorted(zip(said, others, strict=True), key=lambda pair: pair[0])
    for _, other in guests_first:
        other.end()


def test_fork_of_the_owner_cannot_end_the_server(folder: Path) -> None:
    with EmbeddedRedis.start(folder) as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert server.connection.ping()


def test_server_wants_the_password(folder: Path) -> None:
    with EmbeddedRedis.start(folder):
        stranger: Redis = Redis(unix_socket_path=str(folder / "redis.sock"), retry=Retry(NoBackoff(), 0))
        with pytest.raises(AuthenticationError):
            stranger.ping()
        stranger.close()


def test_changed_password_file_says_what_to_do_and_repeats_neither(folder: Path) -> None:
    with EmbeddedRedis.start(folder):
        right = (folder / "password").read_text()
        (folder / "password").write_text("0" * 64)
        with pytest.raises(ConfigurationError, match="refuses the password") as caught:
            EmbeddedRedis.attach(folder)
        assert "0" * 64 not in str(caught.value)
        (folder / "password").write_text(right)


def test_only_its_owner_can_read_its_files(folder: Path) -> None:
    with EmbeddedRedis.start(folder):
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "password").stat().st_mode & 0o077 == 0
        arguments = Path(f"/proc/{(folder / 'redis.pid').read_text().strip()}/cmdline")
        assert (folder / "password").read_text().encode() not in arguments.read_bytes()


def test_long_path_gets_a_short_socket_that_others_find_and_that_goes(folder: Path) -> None:
    deep = folder / ("a rather long name " * 6).strip()
    with EmbeddedRedis.start(deep) as owner:
        place = Path((deep / "socket").read_text())
        assert len(str(place)) < 100
        assert place.parent.stat().st_mode & 0o077 == 0
        guest = EmbeddedRedis.attach(deep)
        assert process_id(guest) == process_id(owner)
        guest.stop()
    assert not place.parent.exists()


def test_address_for_child_processes_works(embedded_redis: EmbeddedRedis) -> None:
    connection = connect(settings(embedded_redis.url))
    assert connection.ping()
    connection.close()


def test_embedded_server_keeps_and_never_evicts_jobs(redis: Redis) -> None:
    assert warn_if_not_persistent(redis) == ()


def test_forgetful_redis_is_reported(redis: Redis) -> None:
    redis.config_set("appendonly", "no")
    redis.config_set("maxmemory", "100mb")
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        append_only, eviction = warn_if_not_persistent(redis)
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "0")
        redis.config_set("appendonly", "yes")
    assert "append-only" in append_only
    assert "noeviction" in eviction


def test_keeping_starts_the_embedded_server_and_connect_finds_it(folder: Path) -> None:
    with kept(settings(), folder) as keeper:
        found = connect(settings(), folder)
        assert found.ping()
        assert keeper.connection.ping()
        found.close()
    with pytest.raises(ConfigurationError):
        connect(settings(), folder)


def test_killed_server_is_started_again_by_its_keeper(folder: Path) -> None:
    with kept(settings(), folder) as keeper:
        os.kill(int((folder / "redis.pid").read_text()), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while keeper.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        keeper.look()
        found = connect(settings(), folder)
        assert found.ping()
        found.close()


@pytest.mark.parametrize(
    "address",
    [f"redis://:{_NUMBER}@127.0.0.1:1/0", f"unix:///nowhere/{_NUMBER}.sock", f"{_NUMBER}", "amqp://x"],
)
def test_unusable_redis_url_stops_the_start_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(settings(address))
    assert "REDIS_URL" in str(caught.value)
    assert _NUMBER not in str(caught.value)


def test_redis_that_dies_later_raises_a_connection_error(folder: Path) -> None:
    server = EmbeddedRedis.start(folder)
    guest = connect(settings(), folder)
    server.stop()
    with pytest.raises(ConnectionError):
        enqueue(queue(guest), "channels.jobs.deliver", new_id(), timeout=30)


# --- jobs ---------------------------------------------------------------------------------------


def leave_a_mark(name: str) -> None:
    """A job: it says that it ran."""
    Path(tempfile.gettempdir(), f"vb-mark-{name}").touch()


def fail_with_a_number(_: str) -> None:
    """A job whose error quotes what no error may quote."""
    raise KeyError(_NUMBER)


def test_job_runs_with_its_ids(redis: Redis) -> None:
    identity = new_id()
    enqueue(queue(redis), "tests.test_queue.leave_a_mark", identity, timeout=30)
    worker(redis).work(burst=True)
    mark = Path(tempfile.gettempdir(), f"vb-mark-{identity}")
    assert mark.exists()
    mark.unlink()


@pytest.mark.parametrize(
    "value", [_NUMBER, "6281234567890", "Siti", "a@b.example", "1234", "", "01A2029A259378A1B5566F665E8A19E5"]
)
def test_job_takes_nothing_but_opaque_ids_and_does_not_repeat_it(redis: Redis, value: str) -> None:
    with pytest.raises(ValueError, match=r"argument 2 of a job for channels\.jobs\.deliver") as caught:
        enqueue(queue(redis), "channels.jobs.deliver", new_id(), value, timeout=30)
    assert not value or value not in str(caught.value)
    assert redis.dbsize() == 0


def test_redis_holds_nothing_but_ids(redis: Redis) -> None:
    ids = [new_id(), new_id()]
    enqueue(queue(redis), "channels.jobs.deliver", *ids, timeout=30)
    held = everything_in(redis)
    assert all(identity in held for identity in ids)
    # What is left besides ids, names of functions and queues, codes, versions and times is nothing.
    words = set(re.findall(r"[A-Za-z_.]{3,}", re.sub(r"[0-9a-f-]{32,36}|\d{4}-\d\d-\d\dT[\d:.]+Z", "", held)))
    assert words <= _RQ_WORDS, f"unexpected in Redis: {words - _RQ_WORDS}"


def test_failed_job_leaves_no_word_of_its_error(
    redis: Redis, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    job_id = enqueue(queue(redis), "tests.test_queue.fail_with_a_number", new_id(), timeout=30)
    worker(redis).work(burst=True)
    held = everything_in(redis)
    assert "JobFailed: KeyError at test_queue.py:" in held
    written = "".join(capfd.readouterr())
    for place in (held, caplog.text, written):
        assert _NUMBER not in place
        assert "quotes" not in place
    job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    assert job.get_status() is JobStatus.FAILED


def test_failed_job_is_kept_for_a_day_and_not_run_again(redis: Redis) -> None:
    job_id = enqueue(queue(redis), "tests.test_queue.fail_with_a_number", new_id(), timeout=30)
    worker(redis).work(burst=True)
    assert queue(redis).count == 0
    assert 86_000 < float(redis.ttl(f"rq:job:{job_id}")) <= 86_400


_RQ_WORDS = {
    "rq", "queue", "queues", "queued", "voiceback", "job", "jobs", "rq:job", "status", "origin", "data", "created_at",
    "enqueued_at", "description", "timeout", "result_ttl", "failure_ttl", "started_at", "ended_at", "last_heartbeat",
    "worker_name", "success_callback_name", "failure_callback_name", "stopped_callback_name", "group_id",
    "channels.jobs.deliver", "null", "meta", "allow_dependency_failures", "enqueue_at_front",
}  # fmt: skip


def everything_in(connection: Redis) -> str:
    """Every key and value, with what RQ deflated and encoded laid open."""
    parts: list[bytes] = []
    for key in connection.scan_iter():
        parts.append(key)
        kind = connection.type(key)
        parts += flattened(connection, key, kind)
    return "\n".join(opened(part) for part in parts)


def flattened(connection: Redis, key: bytes, kind: Any) -> list[bytes]:
    read: dict[bytes, Any] = {
        b"string": connection.get,
        b"hash": connection.hgetall,
        b"list": lambda name: connection.lrange(name, 0, -1),
        b"set": connection.smembers,
        b"zset": lambda name: connection.zrange(name, 0, -1),
        b"stream": connection.xrange,
    }
    return list(leaves(read[kind](key)))


def leaves(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from leaves([*value.keys(), *value.values()])
    else:
        for item in value:
            yield from leaves(item)


def opened(data: bytes) -> str:
    for decode in (zlib.decompress, lambda raw: zlib.decompress(base64.b64decode(raw, validate=True))):
        try:
            data = decode(data)
        except (zlib.error, ValueError):
            continue
        break
    text = data.decode()
    try:
        return json.dumps(json.loads(text))
    except ValueError:
        return text


def answers(connection: Redis) -> bool:
    try:
        return bool(connection.ping())
    except ConnectionError:
        return False


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
