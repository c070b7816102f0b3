"""What the tests of the flow engine share: the real content, a frozen world, and a conversation to lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.flow.catalog import Catalogs
from bot.flow.library import Library

ROOT = Path(__file__).parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden files of the flows anew")


@pytest.fixture(scope="session")
def library() -> Library:
    return Library.open(ROOT / "flows")


@pytest.fixture(scope="session")
def catalogs() -> Catalogs:
    return Catalogs.open(ROOT / "locales")
