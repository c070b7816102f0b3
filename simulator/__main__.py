"""``python -m simulator --config FILE.json [--host 127.0.0.1] [--port 8090] [--state FILE]``"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from simulator.config import load_config
from simulator.errors import ConfigError
from simulator.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; 0 when it ended well, 3 when the configuration or the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A make-believe Twilio.")
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see simulator/README.md")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--state", type=Path, help="file in which the world survives a restart")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        asyncio.run(serve(load_config(given.config), given.host, given.port, given.state))
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
