"""Logs hold ids and codes, whatever a library or an exception has to say."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.journeys.world import ROOT

TALKATIVE = """
import logging, sys
sys.path.insert(0, sys.argv[1])
import structlog
from bot import logs
logs.set_up("DEBUG")
logging.getLogger("twilio.http_client").warning("POST To=+6281277788899")
logging.getLogger("rq").error("job failed: %s", "+6281277788899")
try:
    raise ValueError("+6281277788899")
except ValueError:
    logging.getLogger("x").exception("it broke with +6281277788899")
    structlog.get_logger().error("broke", id="0" * 32, exc_info=True)
"""


def test_words_of_libraries_and_exceptions_are_left_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TALKATIVE, str(ROOT)], capture_output=True, text=True, check=True, timeout=30
    )
    assert "77788899" not in done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["library", "library", "library", "broke"]
    assert lines[2]["error"] == "ValueError"
    assert lines[3]["id"] == "0" * 32
