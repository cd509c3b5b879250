"""Stopping rules: pure decisions from curves."""

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.objective import Objective
from schemas.stopping import RULES, AshaStopping, MedianStopping, NoStopping, Stopping, StoppingSchema
from schemas.trials import Epoch
from tuning.stopping import MIN_CURVES, Curve, is_halt, should_stop

LOSS = Objective("val_loss", "minimize", None)
ACCURACY = Objective("val_accuracy", "maximize", None)
LONG = 1000
MEDIAN = MedianStopping(1)
ASHA = AshaStopping(1, 3)


def _line(
    values: Sequence[float | None], objective: Objective = LOSS, fold: int = 1, first: int = 1
) -> list[Epoch]:
    return [
        Epoch(epoch, 1.0, 0.1, {objective.metric: value}, fold)
        for epoch, value in enumerate(values, start=first)
    ]


def _ended(values: Sequence[float | None], objective: Objective = LOSS, fold: int = 1) -> Curve:
    return Curve(_line(values, objective, fold), has_ended=True)


def _running(values: Sequence[float | None]) -> Curve:
    return Curve(_line(values), has_ended=False)


def _stops(rule: Stopping, own: Sequence[float | None], others: Sequence[Curve], last: int = LONG) -> bool:
    return should_stop(rule, LOSS, _line(own), others, last)


def test_every_rule_of_the_contract_decides() -> None:
    for name in RULES:
        rule = StoppingSchema().load({"rule": name})
        assert not _stops(rule, [1.0], [])


def test_no_rule_stops_nothing() -> None:
    assert not _stops(NoStopping(), [9.0], [_ended([1.0])] * 9)


@pytest.mark.parametrize("rule", [MEDIAN, ASHA])
class TestEveryRule:
    others = [_ended([1.0] * 4)] * 3

    def test_the_worst_stops(self, rule: Stopping) -> None:
        assert _stops(rule, [2.0], self.others)

    def test_a_tie_goes_on(self, rule: Stopping) -> None:
        assert not _stops(rule, [1.0], self.others)

    def test_nothing_stops_in_its_last_epoch(self, rule: Stopping) -> None:
        assert not _stops(rule, [2.0], self.others, last=1)

    def test_nothing_that_has_not_begun_stops(self, rule: Stopping) -> None:
        assert not _stops(rule, [], self.others)

    def test_folds_are_compared_with_the_same_fold(self, rule: Stopping) -> None:
        good_in_the_first = [Curve([*_line([0.1] * 3), *_line([5.0] * 3, fold=2)], True)] * 3
        own = [*_line([9.0] * 3), *_line([2.0], fold=2)]
        assert not should_stop(rule, LOSS, own, good_in_the_first, LONG)
        assert should_stop(rule, LOSS, _line([2.0]), good_in_the_first, LONG)

    def test_those_that_did_not_come_as_far_say_nothing(self, rule: Stopping) -> None:
        assert not _stops(rule, [9.0] * 3, [_ended([1.0] * 2)] * 5)

    @pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_is_the_worst(self, rule: Stopping, missing: float | None) -> None:
        assert _stops(rule, [missing], self.others)
        assert not _stops(rule, [1e300], [_ended([missing])] * 3)
        assert not _stops(rule, [missing], [_ended([missing])] * 3)

    def test_what_was_reported_twice_is_what_was_said_last(self, rule: Stopping) -> None:
        twice = [Curve([*_line([0.1]), *_line([1.0])], True)] * 3
        assert not should_stop(rule, LOSS, _line([1.0]), twice, LONG)


class TestMedian:
    def test_its_best_is_held_against_the_median_of_the_others_means(self) -> None:
        # Means up to the second epoch: 2, 3 and 9; the third epoch of one is nobody's business.
        others = [_ended([3.0, 1.0, -100.0]), _ended([3.0, 3.0]), _ended([9.0, 9.0])]
        assert not _stops(MEDIAN, [3.0, 9.0], others)
        assert _stops(MEDIAN, [3.1, 9.0], others)

    def test_running_trials_say_nothing(self) -> None:
        assert not _stops(MEDIAN, [9.0], [_running([1.0])] * 9)

    def test_too_few_say_nothing(self) -> None:
        others = [_ended([1.0])] * MIN_CURVES
        assert not _stops(MEDIAN, [9.0], others[1:])
        assert _stops(MEDIAN, [9.0], others)

    def test_nothing_stops_within_its_grace(self) -> None:
        others = [_ended([1.0] * 9)] * 3
        assert [_stops(MedianStopping(3), [9.0] * epochs, others) for epochs in (1, 2, 3, 4)] == [
            False, False, True, True,
        ]  # fmt: skip

    def test_rounding_makes_no_difference_of_a_tie(self) -> None:
        for value in (0.1, 0.7, 1 / 3):
            assert not _stops(MEDIAN, [value] * 3, [_ended([value] * 3)] * 3)


class TestAsha:
    def test_halts_are_powers_of_the_factor_times_the_grace(self) -> None:
        assert [epoch for epoch in range(1, 60) if is_halt(AshaStopping(2, 3), epoch)] == [2, 6, 18, 54]
        assert [epoch for epoch in range(1, 9) if is_halt(AshaStopping(1, 2), epoch)] == [1, 2, 4, 8]

    def test_between_halts_nothing_stops(self) -> None:
        others = [_running([1.0] * 9)] * 9
        assert [_stops(ASHA, [9.0] * epochs, others) for epochs in (1, 2, 3, 4)] == [
            True, False, True, False,
        ]  # fmt: skip

    def test_the_first_to_come_goes_on(self) -> None:
        assert not _stops(ASHA, [9.0], [])

    def test_one_in_factor_goes_on(self) -> None:
        others = [_running([float(value)]) for value in (1, 2, 3, 4, 5)]
        # Six with its own: the best two.
        assert not _stops(ASHA, [1.5], others)
        assert _stops(ASHA, [2.5], others)

    def test_what_others_came_to_after_the_halt_does_not_count(self) -> None:
        assert not _stops(ASHA, [2.0], [_running([3.0, 0.1])])

    def test_its_best_so_far_counts_not_its_last(self) -> None:
        assert not _stops(ASHA, [1.0, 5.0, 9.0], [_running([2.0, 2.0, 2.0])])


values = st.one_of(st.none(), st.floats(-10, 10), st.sampled_from([0.0, 1.0]))
lines = st.lists(values, min_size=1, max_size=12)
curves = st.lists(st.tuples(lines, st.booleans()), max_size=12)
rules = st.one_of(
    st.builds(MedianStopping, st.integers(1, 4)),
    st.builds(AshaStopping, st.integers(1, 4), st.integers(2, 4)),
)
objectives = st.sampled_from([LOSS, ACCURACY])


def _others(objective: Objective, drawn: Sequence[tuple[Sequence[float | None], bool]]) -> list[Curve]:
    return [Curve(_line(line, objective), has_ended) for line, has_ended in drawn]


def _best(line: Sequence[float | None], sign: float) -> float:
    return min((math.inf if value is None else sign * value for value in line), default=math.inf)


@given(rules, objectives, lines, curves)
def test_the_best_is_never_stopped(
    rule: Stopping,
    objective: Objective,
    own: list[float | None],
    drawn: list[tuple[list[float | None], bool]],
) -> None:
    sign = 1.0 if objective is LOSS else -1.0
    best = min(_best(line[: len(own)], sign) for line, _ in [(own, True), *drawn])
    if _best(own, sign) == best:
        assert not should_stop(rule, objective, _line(own, objective), _others(objective, drawn), LONG)


@given(rules, objectives, lines, curves, st.randoms(use_true_random=False))
def test_the_order_of_the_others_changes_nothing(
    rule: Stopping,
    objective: Objective,
    own: list[float | None],
    drawn: list[tuple[list[float | None], bool]],
    chance: random.Random,
) -> None:
    others = _others(objective, drawn)
    shuffled = chance.sample(others, len(others))
    mine = _line(own, objective)
    assert should_stop(rule, objective, mine, others, LONG) == should_stop(
        rule, objective, mine, shuffled, LONG
    )


@given(rules, lines, curves)
def test_both_directions_are_the_same_upside_down(
    rule: Stopping, own: list[float | None], drawn: list[tuple[list[float | None], bool]]
) -> None:
    def turned(line: Sequence[float | None]) -> list[float | None]:
        return [None if value is None else -value for value in line]

    down = should_stop(rule, LOSS, _line(own), _others(LOSS, drawn), LONG)
    upside = [(turned(line), has_ended) for line, has_ended in drawn]
    up = should_stop(rule, ACCURACY, _line(turned(own), ACCURACY), _others(ACCURACY, upside), LONG)
    assert down == up


@given(rules, lines, curves, st.floats(-10, 10), st.floats(-10, 10))
def test_a_better_trial_is_not_stopped_where_a_worse_one_goes_on(
    rule: Stopping,
    own: list[float | None],
    drawn: list[tuple[list[float | None], bool]],
    first: float,
    second: float,
) -> None:
    others = _others(LOSS, drawn)
    worse, better = ([*own, value] for value in (max(first, second), min(first, second)))
    assert _stops(rule, better, others) <= _stops(rule, worse, others)
