"""Small drawings of numbers over time, made here and coloured by the style sheet: no script, no library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

WIDTH: Final = 300
HEIGHT: Final = 60
_GAP: Final = 0.25
"""The share of a bar's place that stays empty."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through readings: the points of an SVG polyline, the highest value, and the last one."""

    points: str
    top: float
    last: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One day's bar, by its place in the drawing."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: int


def curve(readings: Sequence[tuple[datetime, float]], since: datetime, until: datetime) -> Curve | None:
    """Readings between two instants as a line; None if there are fewer than two."""
    inside = [(at, value) for at, value in readings if since <= at <= until]
    if len(inside) < 2:
        return None
    top = max(value for _, value in inside)
    length = (until - since).total_seconds()
    points = [
        f"{WIDTH * (at - since).total_seconds() / length:.1f},{_height(value, top):.1f}"
        for at, value in inside
    ]
    return Curve(" ".join(points), top, inside[-1][1])


def bars(values: Sequence[tuple[str, int]]) -> list[Bar]:
    """Numbers with their labels as bars from left to right; none if all are zero."""
    top = max((value for _, value in values), default=0)
    if not top:
        return []
    place = WIDTH / len(values)
    return [
        Bar(
            round(n * place + place * _GAP / 2, 1),
            round(_height(value, top), 1),
            round(place * (1 - _GAP), 1),
            round(HEIGHT - _height(value, top), 1),
            label,
            value,
        )
        for n, (label, value) in enumerate(values)
    ]


def _height(value: float, top: float) -> float:
    """How far from above a value stands; SVG counts downwards."""
    return HEIGHT - 1 - (HEIGHT - 2) * (value / top if top else 0.0)
