"""What a number was measured on: cores, versions and how busy the machine was. No paths, no names."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

_PACKAGES = ("granian", "flask", "sqlalchemy", "psycopg")


def facts() -> list[str]:
    """Lines that tell about this machine."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return [
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}, {packages}",
        f"load average before the run (1, 5, 15 minutes): {busy}",
    ]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "processor unknown"
