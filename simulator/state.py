"""The world on disk: what survives a restart, written whole or not at all, readable by its owner only."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.attachments import restored
from simulator.contents import Content
from simulator.errors import ConfigError
from simulator.post import Post
from simulator.records import LIVE_CALL, Call, Handset, Json, Message, Recording, now
from simulator.scripts import parse_script
from simulator.world import World

SAVE_EVERY_SECONDS = 2.0
CALLS_KEPT = 2000
MESSAGES_KEPT = 5000
ATTACHMENTS_KEPT = 200


class StateFile:
    """Keeps one world in one file."""

    def __init__(self, world: World, post: Post, path: Path) -> None:
        self._world = world
        self._post = post
        self._path = path
        self._saved_version = -1

    def load(self) -> None:
        """Bring back what was saved; calls that were going on have failed. :class:`ConfigError` if unreadable."""
        if not self._path.exists():
            return
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            self._restore(data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"the state file cannot be read: {type(error).__name__}") from error

    async def save(self, *, changed_only: bool = False) -> None:
        """Write the world; with ``changed_only`` not if it is as it was the last time."""
        if changed_only and self._saved_version == self._world.version:
            return
        version = self._world.version
        data = self._dump() | {"mail": await self._post.dump()}
        _write(self._path, json.dumps(data, default=_encode))
        self._saved_version = version

    async def keep_saving(self) -> None:
        """Save again and again until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_SECONDS)
            await self.save(changed_only=True)

    def _dump(self) -> Json:
        world = self._world
        recordings = []
        for recording in list(world.recordings.values())[-CALLS_KEPT:]:
            row = recording.to_json()
            row["audio"] = base64.b64encode(recording.audio).decode() if recording.audio else None
            recordings.append(row)
        return {
            "calls": [call.to_json() for call in list(world.calls.values())[-CALLS_KEPT:]],
            "messages": [message.to_json() for message in list(world.messages.values())[-MESSAGES_KEPT:]],
            "deleted": [message.to_json() for message in list(world.deleted.values())[-MESSAGES_KEPT:]],
            "recordings": recordings,
            "attachments": [each.dump() for each in list(world.attachments.values())[-ATTACHMENTS_KEPT:]],
            "handsets": [handset.to_json() for handset in world.handsets.values()],
            "opted_out": sorted(world.opted_out),
            "contents": [content.to_json() for content in world.contents.values()],
            "heard": [[*pair, at.isoformat()] for pair, at in world.heard.items()],
            "errors": world.errors,
            "telegram": world.chats.dump(),
        }

    def _restore(self, data: Json) -> None:
        world = self._world
        for row in data["handsets"]:
            self._restore_handset(row)
        for row in data["calls"]:
            call = Call(**_decode(row, ("created", "started", "answered", "ended")))
            if call.status in LIVE_CALL:
                call.status, call.ended, call.doing = "failed", now(), ""
            world.keep_call(call)
        self._restore_messages(data["messages"], data.get("deleted", []))
        for row in data["recordings"]:
            row["audio"] = base64.b64decode(row["audio"]) if row["audio"] else None
            recording = Recording(**_decode(row, ("created",)))
            world.recordings[recording.sid] = recording
        for row in data.get("attachments", []):
            world.attachments[row["sid"]] = restored(row)
        world.opted_out = {(handset, number) for handset, number in data["opted_out"]}
        world.errors = data["errors"]
        for row in data.get("contents", []):
            world.contents.setdefault(row["sid"], Content(**_decode(row, ("created",))))
        for number, line, at in data.get("heard", []):
            world.heard[(number, line)] = datetime.fromisoformat(at)
        if "telegram" in data:
            world.chats.restore(data["telegram"])
        self._post.restore(data.get("mail", {}))

    def _restore_messages(self, rows: list[Json], deleted: list[Json]) -> None:
        gone = {row["sid"] for row in deleted}
        for row in sorted([*rows, *deleted], key=lambda each: str(each["created"])):
            message = Message(**_decode(row, ("created", "sent", "updated")))
            self._world.keep_message(message)
            if message.sid in gone:
                self._world.delete_message(message)

    def _restore_handset(self, row: Json) -> None:
        """The configuration wins where it describes the handset; what its owner does is kept as it was set."""
        handset = self._world.handsets.get(row["number"])
        if handset is None:
            handset = Handset(row["number"], listed=row["listed"])
            handset.name, handset.language = row["name"], row["language"]
            handset.note, handset.pass_word = row["note"], row["pass_word"]
            self._world.handsets[handset.number] = handset
        handset.script = parse_script(row["script"])
        handset.hides_number = row.get("hides_number", False)
        handset.unread = row["unread"] if isinstance(row["unread"], dict) else {}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp gives mode 0600, and the rename keeps it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _decode(row: Json, moments: tuple[str, ...]) -> dict[str, Any]:
    values = {("from_" if key == "from" else key): value for key, value in row.items()}
    for name in moments:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    return values
