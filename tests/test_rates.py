"""The rates of callbacks are those of AAPOR's definitions."""

from __future__ import annotations

import pytest

from bot.callbacks.states import AAPOR, CallbackState, Disposition
from bot.rates import Cases, Outcome, class_of, outcome_of

HUNDRED = Cases(complete=50, partial=5, refusal=10, non_contact=15, other=5, unknown=15, not_eligible=15)


@pytest.mark.parametrize(
    ("rate", "value"),
    [
        ("total", 100),
        ("rr1", 50 / 100),
        ("rr2", 55 / 100),
        ("eligible_share", 85 / 100),
        ("rr3", 50 / (85 + 0.85 * 15)),
        ("con1", 70 / 100),
        ("coop1", 50 / 70),
        ("ref1", 10 / 100),
    ],
)
def test_each_rate_is_its_formula(rate: str, value: float) -> None:
    assert getattr(HUNDRED, rate) == pytest.approx(value)


@pytest.mark.parametrize("rate", ["rr1", "rr2", "rr3", "con1", "coop1", "ref1", "eligible_share"])
def test_no_rate_is_made_of_nothing(rate: str) -> None:
    assert getattr(Cases(), rate) is None


def test_numbers_that_do_not_exist_are_no_part_of_a_response_rate() -> None:
    assert Cases(complete=5, not_eligible=95).rr1 == 1


@pytest.mark.parametrize("disposition", list(Disposition))
def test_every_disposition_has_the_class_of_its_code(disposition: Disposition) -> None:
    code = AAPOR[disposition]
    if code == "4.30":
        wanted = Outcome.NOT_ELIGIBLE if disposition is Disposition.WRONG_NUMBER else Outcome.UNKNOWN
    else:
        wanted = {
            "1.1": Outcome.COMPLETE,
            "1.2": Outcome.PARTIAL,
            "2.1": Outcome.REFUSAL,
            "2.2": Outcome.NON_CONTACT,
            "2.3": Outcome.OTHER,
        }.get(code[:3], Outcome.UNKNOWN)
    assert class_of(disposition) is wanted


@pytest.mark.parametrize(
    ("state", "tried", "outcome"),
    [
        (CallbackState.REACHED, ["no_answer", "completed"], Outcome.COMPLETE),
        (CallbackState.REACHED, ["handed_off"], Outcome.PARTIAL),
        (CallbackState.REFUSED, ["refused"], Outcome.REFUSAL),
        (CallbackState.STOPPED, [], Outcome.REFUSAL),
        (CallbackState.UNSAFE, ["later", "unsafe"], Outcome.OTHER),
        (CallbackState.GIVEN_UP, ["no_answer", "machine"], Outcome.NON_CONTACT),
        (CallbackState.GIVEN_UP, ["no_answer", "cut_off", "machine"], Outcome.REFUSAL),
        (CallbackState.GIVEN_UP, ["wrong_number"], Outcome.NOT_ELIGIBLE),
        (CallbackState.GIVEN_UP, ["busy", "failed"], Outcome.UNKNOWN),
        (CallbackState.GIVEN_UP, [], Outcome.UNKNOWN),
    ],
)
def test_a_callback_is_of_the_class_of_its_end_or_its_best_attempt(
    state: CallbackState, tried: list[str], outcome: Outcome
) -> None:
    assert outcome_of(state, [Disposition(each) for each in tried]) is outcome
