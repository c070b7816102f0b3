"""Conditions: plain data in a flow, compiled once into a function over known values.

A mapping holds when all its entries hold; an entry's value is one code, a list of codes of which one
must match, or ``{below: n}`` / ``{above: n}`` for numbers. A list of mappings holds when one of them
holds. ``not`` turns a condition round. A name that has no value yet matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Test = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition: call it with the known values."""

    source: str
    names: frozenset[str]
    wanted: tuple[tuple[str, str], ...]
    """Every (name, code) that it compares, for the loader's spelling check."""
    test: Test = field(repr=False, compare=False)
    required: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    """Names that must have one of these codes for it to hold at all, as far as that is plain."""

    def __call__(self, values: Mapping[str, str]) -> bool:
        return self.test(values)

    def __str__(self) -> str:
        return self.source


def compile_condition(data: object) -> Condition:
    """The condition that ``data`` (mapping or list of mappings, checked by the schema) describes."""
    if isinstance(data, list):
        return _any([compile_condition(entry) for entry in data])
    if not isinstance(data, dict):
        raise TypeError("a condition is a mapping or a list of mappings")
    return _all([_entry(str(name), wanted) for name, wanted in data.items()])


def _entry(name: str, wanted: object) -> Condition:
    if name == "not":
        inner = compile_condition(wanted)
        return Condition(
            f"not ({inner.source})", inner.names, inner.wanted, lambda values: not inner.test(values)
        )
    if isinstance(wanted, dict):
        return _bounds(name, wanted)
    codes = [str(code) for code in wanted] if isinstance(wanted, list) else [str(wanted)]
    return _codes(name, codes)


def _codes(name: str, codes: list[str]) -> Condition:
    allowed = frozenset(codes)
    test: Test = lambda values: values.get(name) in allowed  # noqa: E731 - a closure is the compiled form
    wanted = tuple((name, code) for code in codes)
    return Condition(f"{name} = {' or '.join(codes)}", frozenset((name,)), wanted, test, {name: allowed})


def _bounds(name: str, bounds: Mapping[str, object]) -> Condition:
    below = int(str(bounds["below"])) if "below" in bounds else None
    above = int(str(bounds["above"])) if "above" in bounds else None

    def test(values: Mapping[str, str]) -> bool:
        value = values.get(name, "")
        if not value.removeprefix("-").isdecimal():
            return False
        return (below is None or int(value) < below) and (above is None or int(value) > above)

    words = [f"{name} < {below}"] if below is not None else []
    words += [f"{name} > {above}"] if above is not None else []
    return Condition(" and ".join(words), frozenset((name,)), (), test)


def _all(parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    tests = tuple(part.test for part in parts)
    required: dict[str, frozenset[str]] = {}
    for part in parts:
        required.update(part.required)
    return Condition(
        " and ".join(part.source for part in parts),
        _names(parts),
        _wanted(parts),
        lambda values: all(test(values) for test in tests),
        required,
    )


def _any(parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    tests = tuple(part.test for part in parts)
    return Condition(
        " or ".join(f"({part.source})" for part in parts),
        _names(parts),
        _wanted(parts),
        lambda values: any(test(values) for test in tests),
    )


def _names(parts: Iterable[Condition]) -> frozenset[str]:
    return frozenset(name for part in parts for name in part.names)


def _wanted(parts: Iterable[Condition]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for part in parts for pair in part.wanted)
