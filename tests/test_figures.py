"""Each figure is its formula; none is made of nothing, and none is told with more certainty than it has."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import figures, tally
from bot.figures import Timing
from bot.tally import SPANS, WAITS, Count, What

ROOT = Path(__file__).parents[1]
LINE = {"talked": 6, "nobody": 1, "message": 1, "gone": 1, "gone_at_once": 1, "wrapped": 3}
_ENDS = {"inconclusive": 1, "employer_says_done": 3, "closed_validated": 1, "closed_unreached": 1}
_VERDICTS = {"substantiated": 3, "partly": 1, "unsubstantiated": 2}
CASES = {"opened": 9, "closed": 4, "reopened_closed": 1, **_VERDICTS, **_ENDS}


def of(**counts: dict[str, int]) -> figures.Sums:
    """Some sums."""
    return figures.sums(
        Count(tally.ALL_DAYS, "-", What[what.upper()].value, code, number)
        for what, codes in counts.items()
        for code, number in codes.items()
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offered", 10),
        ("taken", 6),
        ("answer_rate", 0.6),
        ("abandonment", 0.2),
        ("abandonment_later", 1 / 9),
        ("service_level", 0.4),
        ("wait", Timing(6, 20.0, 120.0)),
        ("talk", 100.0),
        ("wrap", 20.0),
        ("handling", 120.0),
    ],
)
def test_each_figure_of_the_line_is_its_formula(name: str, value: object) -> None:
    sums = of(
        line=LINE,
        line_wait={"5": 1, "20": 3, "30": 1, "120": 1},
        line_seconds={"wait": 300, "talk": 600, "wrap": 60},
    )
    assert getattr(figures.line(sums), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opened", 9),
        ("reopening", 0.25),
        ("substantiated", 4),
        ("substantiation", 4 / 6),
        ("remediation", 0.75),
        ("validated", 0.25),
        ("unreached", 0.25),
        ("gap", 0.5),
        ("per_100_completes", 50.0),
        ("grievances", 12),
        ("review", Timing(4, 900.0, 14400.0)),
    ],
)
def test_each_figure_of_cases_is_its_formula(name: str, value: object) -> None:
    sums = of(
        case=CASES,
        case_review={"900": 3, "14400": 1},
        grievance={"callback": 10, "otherwise": 2},
        outcome={"I": 20, "NC": 3},
    )
    assert getattr(figures.handling(sums), name) == value


def test_a_clock_is_kept_in_so_many_cases_of_those_that_stopped() -> None:
    found = figures.handling(of(case_clock={"review kept": 3, "review broken": 1, "plan broken": 2}))
    shares = {clock.name: clock.share for clock in found.clocks}
    assert shares == {"review": 0.75, "safety": None, "plan": 0.0, "close": None}


def test_nothing_makes_no_figure() -> None:
    nothing = of()
    line, cases = figures.line(nothing), figures.handling(nothing)
    rates = (line.answer_rate, line.abandonment, line.abandonment_later, line.service_level, line.handling)
    assert {*rates, line.wait.median, line.talk} == {None}
    assert {cases.substantiation, cases.gap, cases.reopening, cases.per_100_completes} == {None}
    assert cases.retaliation == figures.Share(0, 0, None, None, None)
    assert figures.survival({}, {"3600": 3}, SPANS) is None


# --- shares and times -----------------------------------------------------------------------------


def test_the_interval_of_a_share_is_wilsons() -> None:
    # R: prop.test(10, 100, correct = FALSE)
    found = figures.share(10, 100)
    assert found.value == 0.1
    assert found.low == pytest.approx(0.05522914, abs=1e-6)
    assert found.high == pytest.approx(0.1743657, abs=1e-6)


@given(st.integers(0, 500), st.integers(1, 500))
def test_a_share_lies_in_its_interval_and_that_among_the_possible_ones(part: int, more: int) -> None:
    found = figures.share(part, part + more)
    assert found.low is not None
    assert found.value is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=60), st.sampled_from([0.5, 0.9]))
def test_a_quantile_is_never_less_than_it_is(waits: list[int], part: float) -> None:
    classes: dict[str, int] = {}
    for wait in waits:
        code = tally.class_of(wait, WAITS)
        classes[code] = classes.get(code, 0) + 1
    found = figures.quantile(classes, WAITS, part)
    true = sorted(waits)[math.ceil(part * len(waits)) - 1]
    assert found is not None
    assert true <= found
    assert found == math.inf or tally.class_of(true, WAITS) == str(int(found))


def test_open_cases_make_the_time_to_closing_longer_than_closed_ones_tell() -> None:
    closed = {str(7 * 86400): 10}
    assert figures.survival(closed, {}, SPANS) == 7 * 86400
    assert figures.survival(closed, {str(60 * 86400): 15}, SPANS) == math.inf
    assert figures.survival(closed | {str(90 * 86400): 15}, {}, SPANS) == 90 * 86400
    # Cases that are younger say nothing about how many are open after a week.
    assert figures.survival(closed, {"3600": 1000}, SPANS) == 7 * 86400


# --- words ----------------------------------------------------------------------------------------


def test_every_figure_of_the_page_is_defined_in_the_documentation() -> None:
    page = (ROOT / "console/templates/console/watch.html").read_text()
    defined = (ROOT / "docs/figures.md").read_text()
    rows = re.findall(r'row\("([^"]+)"(?:\|format\(level\))?', page)
    assert len(rows) > 40
    first = [re.sub(r"^\| (.*?) \|.*", r"\1", line) for line in defined.splitlines() if line.startswith("| ")]
    told = (
        " / ".join(first)
        .replace("), (RR2", ") / Response (RR2")
        .replace(", not above", " / In 95 of 100 cases, not above")
    )
    missing = [row for row in rows if row.replace("%s", str(figures.SERVICE_LEVEL)) not in told]
    assert missing == []
