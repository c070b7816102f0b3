"""Promises of the checkout: what it installs, what it must not hold, what make offers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("boot.lock", "requirements.lock")
OURS = {
    "app",
    "server",
    "worker",
    "cli",
    "demo",
    "bot",
    "channels",
    "console",
    "rehearsal",
    "simulator",
    "tests",
    "benchmarks",
}
NOT_SERVED = {"tests", "benchmarks"}

# Addresses and paths that would tie the checkout to one machine, or tell about it.
_PLACES = re.compile(r"(?<![\w./-])/(?:home|root|work|farm|Users)/[\w.]")
_REGISTRIES = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org|anaconda\.org")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git keeps."""
    listing = subprocess.run(
        # A checkout that belongs to another user is fine to read.
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return tuple(path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file())


def lines_matching(pattern: re.Pattern[str], paths: Iterable[Path]) -> list[str]:
    found = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if pattern.search(line)]
    return found


# --- what is installed --------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_is_pinned_and_hashed(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text())
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert packages
    for package in packages:
        assert re.match(r"[\w.\[\]-]+==\S+", package), package.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", package), package.splitlines()[0]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_hold_no_address(name: str) -> None:
    assert lines_matching(re.compile(r"://|file:|^\s*-(?!-hash)"), [ROOT / name]) == []


def test_every_dependency_is_locked() -> None:
    locked = {
        canonicalize_name(n) for n in re.findall(r"^([\w.-]+)", lock("requirements.lock"), re.MULTILINE)
    }
    assert {canonicalize_name(r.name) for r in runtime() + development()} <= locked


def test_what_serves_imports_only_what_it_declares() -> None:
    assert undeclared(runtime(), lambda path: path.parts[0] not in NOT_SERVED) == []


def test_tests_import_only_what_is_declared() -> None:
    assert undeclared(runtime() + development(), lambda path: path.parts[0] in NOT_SERVED) == []


def lock(name: str) -> str:
    return (ROOT / name).read_text()


@cache
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def runtime() -> list[Requirement]:
    declared = project()["project"]
    assert isinstance(declared, dict)
    return [Requirement(line) for line in declared["dependencies"]]


def development() -> list[Requirement]:
    groups = project()["dependency-groups"]
    assert isinstance(groups, dict)
    return [Requirement(line) for line in groups["dev"]]


def undeclared(declared: list[Requirement], wanted: Callable[[Path], bool]) -> list[str]:
    """Imports of files whose package neither is declared nor comes with one that is.

    A file that is run by hand may say in its docstring what it is to be run ``--with``.
    """
    available = closure(declared)
    owners = packages_distributions()
    found = []
    for path in tracked():
        name = path.relative_to(ROOT)
        if path.suffix != ".py" or not wanted(name):
            continue
        by_hand = set(re.findall(r"uv run --with ([\w-]+)==", path.read_text(encoding="utf-8")))
        for module, line in imports(path):
            if (
                module not in by_hand
                and not {canonicalize_name(owner) for owner in owners.get(module, [])} & available
            ):
                found.append(f"{name}:{line} {module}")
    return found


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top not in OURS and top not in sys.stdlib_module_names:
                yield top, node.lineno


def closure(declared: list[Requirement]) -> set[str]:
    """The packages and all that they bring along here."""
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(r.name), extra) for r in declared for extra in ("", *r.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        for needed in map(Requirement, lines):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), e) for e in ("", *needed.extras)]
    return {name for name, _ in seen}


# --- what the checkout must not hold --------------------------------------------------------------


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    assert lines_matching(_PLACES, tracked()) == []


def test_no_file_names_a_package_registry() -> None:
    assert lines_matching(_REGISTRIES, tracked()) == []


def test_every_folder_of_tests_is_a_package() -> None:
    # Otherwise two tests of the same name in two rooms shut each other out.
    folders = {path.parent for path in tracked() if path.name.startswith("test_") and path.suffix == ".py"}
    assert [
        str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()
    ] == []


def test_what_runs_leaves_is_ignored_by_git() -> None:
    names = [
        "var/voiceback.db",
        "var/keys.json",
        "var/redis/password",
        ".venv/bin/python",
        "x/__pycache__/y.pyc",
    ]
    ignored = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "check-ignore", *names],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ignored.stdout.split() == names


# --- what make offers -----------------------------------------------------------------------------


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_help_lists_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert set(re.findall(r"^  make ([a-z-]+) +\S", shown.stdout, re.MULTILINE)) == targets()


def test_no_target_is_mistaken_for_a_file() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == targets()


def test_ci_runs_what_make_test_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()
