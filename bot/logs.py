"""Logs: one JSON object a line, with opaque ids and codes, and nothing that a worker said or can be found by.

What libraries log is cut down to where it came from: their words may hold numbers and addresses
(the Twilio SDK logs query strings, httpx whole addresses, RQ arguments and tracebacks).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


class _PlaceOnly(logging.Handler):
    """Gives a library's record to structlog without its words."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log level, logger and place of a foreign record; an exception only by its kind."""
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger().log(
            record.levelno,
            "library",
            logger=record.name,
            place=f"{record.module}:{record.lineno}",
            **({"error": error} if error else {}),
        )


def set_up(level: str) -> None:
    """Send all logs of this process to standard error, as JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_exceptions,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_PlaceOnly()]
    root.setLevel(logging.WARNING)


def _without_exceptions(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A traceback can hold anything; its kind is logged where it is caught."""
    event.pop("exc_info", None)
    event.pop("exception", None)
    return event
