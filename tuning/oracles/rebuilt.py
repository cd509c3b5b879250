"""What our oracles add to Keras Tuner's: they are rebuilt from rows, and write no files."""

import copy
import hashlib
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import keras_tuner
from keras_tuner.src.engine import trial as engine_trial

from schemas.distributions import Value
from schemas.knowledge import TELLING
from schemas.spaces import points
from schemas.specs import JobSpec
from schemas.states import StopReason, TrialState
from schemas.trials import Effort, Known, Suggestion, Trial
from tuning import spaces

Values = dict[str, Value]
Key = tuple[tuple[str, Value], ...]
Status = engine_trial.TrialStatus

# Up to this size, what is left of a space is listed once drawing keeps hitting what was tried.
LISTED_SIZE = 100_000
# Draws before that; and where listing is out of the question, before the search is given up.
_DRAWS = 20
_MANY_DRAWS = 1_000
_SCORED = frozenset(TrialState.scored())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def most_infeasible(spec: JobSpec) -> int:
    """So many configurations that cannot be built are passed over, before a search is given up."""
    return 100 + 10 * spec.budget.max_trials


class Wait(Exception):
    """No suggestion before a trial that is in flight has ended."""


class Exhausted(Exception):
    """There is nothing left to try; ``reason`` says whether in the space or in the algorithm's plan."""

    def __init__(self, reason: StopReason = StopReason.SPACE_EXHAUSTED) -> None:
        super().__init__(reason)
        self.reason = reason


class Lesson(NamedTuple):
    """What an algorithm that learns is told: ``loss`` is smaller when better, None for a failure."""

    values: Mapping[str, Value]
    loss: float | None


class RebuiltOracle(keras_tuner.Oracle):  # type: ignore[misc]
    """Mixed in before one of Keras Tuner's oracles.

    An algorithm is what ``choose`` or ``propose`` returns, and that follows from ``spec``, ``rows`` and
    ``earlier`` alone: whether the oracle that is asked has been rebuilt does not matter.
    """

    # How often `choose` is asked, before what it hits again and again is left to chance.
    attempts: ClassVar[int] = _DRAWS

    def __init__(self, spec: JobSpec, earlier: Sequence[Known] = ()) -> None:
        objective = keras_tuner.Objective(
            spec.objective.metric, {"maximize": "max", "minimize": "min"}[spec.objective.direction]
        )
        super().__init__(
            objective=objective,
            hyperparameters=self.declare(spec),
            allow_new_entries=False,
            tune_new_entries=False,
            seed=spec.seed,
            **self.options(spec),
        )
        # Keras Tuner takes a seed of 0 for none and draws one.
        self.seed = spec.seed
        self.verbose = 0
        # The plan holds the budget; this is a guard against a search that never ends.
        self.max_trials = spec.budget.max_trials + most_infeasible(spec)
        self.spec, self.space, self.earlier = spec, spec.space, earlier
        self.rows: list[Trial] = []
        self._tried = set[Key]()
        # Trials that came before this search, of which it is not told: its seeds begin after them.
        self.behind = 0
        self._openers: list[Values] | None = None

    def declare(self, spec: JobSpec) -> keras_tuner.HyperParameters:
        return spaces.hyperparameters(spec.space)

    def options(self, spec: JobSpec) -> dict[str, Any]:
        """What Keras Tuner's oracle of the algorithm takes beyond what all of them take."""
        return {}

    def restore(self, trial: Trial) -> None:
        """Takes in a trial of the job as if it had been suggested and reported here."""
        self.rows.append(trial)
        self._tried.add(key_of(trial.hyperparameters))

    @property
    def trials(self) -> dict[str, Any]:
        """The rows in Keras Tuner's vocabulary, made when somebody asks in it."""
        for row in self.rows[len(self._trials) :]:
            self._trials[str(row.number)] = self._known(row)
        return self._trials

    @trials.setter
    def trials(self, given: dict[str, Any]) -> None:
        self._trials = given

    def _known(self, row: Trial) -> Any:
        known = engine_trial.Trial(copy.copy(self.hyperparameters), str(row.number), _status(row))
        known.hyperparameters.values = dict(row.hyperparameters)
        known.score, known.best_step = score_of(row), row.best_epoch or 0
        return known

    def pass_over(self, values: Mapping[str, Value]) -> None:
        """Counts a configuration as tried, though it is no trial of this search."""
        self._tried.add(key_of(values))

    def suggest(self) -> Suggestion:
        """The next trial; from now on it counts as in flight.

        Not by Keras Tuner's ``create_trial``: that keeps a lock for every oracle that there ever was.

        Raises:
            Wait: ask again when a trial has ended.
            Exhausted: there is nothing left to try.
        """
        if len(self.rows) >= self.max_trials:
            raise Exhausted
        suggested = self.propose()
        number = self.rows[-1].number + 1 if self.rows else 0
        self.restore(_in_flight(number, suggested))
        return suggested

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The same question in Keras Tuner's words."""
        try:
            values = dict(self.suggest().values)
        except Wait:
            return {"status": Status.IDLE, "values": None}
        except Exhausted:
            return {"status": Status.STOPPED, "values": None}
        return {"status": Status.RUNNING, "values": values}

    def propose(self) -> Suggestion:
        """The next suggestion, as the rows have it; nothing is noted.

        Raises:
            Wait, Exhausted: as ``suggest``.
        """
        values = self.next_values()
        if values is None:
            raise Exhausted
        return Suggestion(values)

    def next_values(self) -> Values | None:
        """A configuration that was not tried; None when there is none left."""
        self._seed_state = self.seed_of(self.number)
        values = self._first_new(chain(self.openers, self._proposals()))
        return self._one_of_the_rest() if values is None else values

    def choose(self) -> Values | None:
        """The algorithm's own idea, of which another follows at the next call; None when it has none."""
        return self.drawn()

    def _proposals(self) -> Iterator[Values]:
        for _ in range(self.attempts):
            chosen = self.choose()
            if chosen is not None:
                yield chosen
        for _ in range(_DRAWS if self._can_be_listed else _MANY_DRAWS):
            yield self.drawn()

    def _first_new(self, proposals: Iterable[Values]) -> Values | None:
        return next((values for values in proposals if key_of(values) not in self._tried), None)

    def _one_of_the_rest(self) -> Values | None:
        """Drawing has collided too often: one of what is left, or None if nothing is."""
        rest = self.rest() if self._can_be_listed else []
        return random.Random(self.seed_of(self.number)).choice(rest) if rest else None

    def rest(self) -> list[Values]:
        """All that was not tried, of a space that can be listed."""
        return [values for values in points(self.space) if key_of(values) not in self._tried]

    @property
    def _can_be_listed(self) -> bool:
        size = self.space.size()
        return size is not None and size <= LISTED_SIZE

    @property
    def openers(self) -> list[Values]:
        """What every algorithm tries first: the configurations enqueued, then the defaults."""
        if self._openers is None:
            self._openers = list(self._opening())
        return self._openers

    def opening(self) -> list[Values]:
        """The given values of each opener; what they leave out is a default or drawn."""
        own = {one.name: one.distribution for one in self.space}
        queued = [
            {name: own[name].own(value) for name, value in given.items()}
            for given in self.spec.search.enqueue
        ]
        return [*queued, {}] if self.defaults else queued

    @property
    def defaults(self) -> Values:
        """Those that the spec gives."""
        own = {one.name: one.distribution for one in self.space}
        return {name: one.own(one.default) for name, one in own.items() if one.default is not None}

    def _opening(self) -> Iterator[Values]:
        """The openers, each once, whole; a seed of its own for each, so that the others do not matter."""
        known, before = set[Key](), self._seed_state
        for index, given in enumerate(self.opening()):
            self._seed_state = self.seed_of(f"opener {index}")
            for values in (self.drawn({**self.defaults, **given}) for _ in range(_DRAWS)):
                if key_of(values) not in known:
                    known.add(key_of(values))
                    yield values
                    break
        self._seed_state = before

    def drawn(self, given: Mapping[str, Value] | None = None) -> Values:
        """A configuration with the ``given`` values as far as they are active, drawn at random elsewhere."""
        hyperparameters = copy.copy(self.hyperparameters)
        hyperparameters.values = {}
        for one in hyperparameters.space:
            if hyperparameters.is_active(one):
                sampled = one.random_sample(self._seed_state)
                hyperparameters.values[one.name] = (given or {}).get(one.name, sampled)
                self._seed_state += 1
        completed: Values = hyperparameters.values
        return completed

    def lessons(self) -> list[Lesson]:
        """What is known of configurations, the earlier jobs' first; scores finite, smaller better."""
        sign = 1.0 if self.spec.objective.direction == "minimize" else -1.0
        told = [
            Lesson(one.values, None if one.score is None else sign * one.score)
            for one in self.earlier
            if one.score is None or math.isfinite(one.score)
        ]
        for row in self.rows:
            if (score := score_of(row)) is not None:
                told.append(Lesson(row.hyperparameters, sign * score))
            elif row.state is TrialState.FAILED and row.error and row.error["code"] in TELLING:
                told.append(Lesson(row.hyperparameters, None))
        return told

    def in_flight(self) -> list[Mapping[str, Value]]:
        return [row.hyperparameters for row in self.rows if not row.state.is_terminal]

    @property
    def number(self) -> int:
        """How many configurations came before."""
        return len(self.rows) + self.behind

    def seed_of(self, number: int | str) -> int:
        """A seed for suggestion ``number``, the same whoever asks, 0 being a seed like others."""
        text = f"{self.seed}/{number}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:6])

    def save(self) -> None:
        """Rows are the truth; Keras Tuner's files are not written."""

    def _save_trial(self, trial: Any) -> None:
        """Likewise."""


def restored(oracle: RebuiltOracle, trials: Iterable[Trial]) -> RebuiltOracle:
    """The oracle as the trials have left it."""
    for trial in trials:
        oracle.restore(trial)
    return oracle


def key_of(values: Mapping[str, Value]) -> Key:
    return tuple(sorted(values.items()))


def score_of(trial: Trial) -> float | None:
    """The score of a trial that has one that counts."""
    if trial.score is None or trial.state not in _SCORED or not math.isfinite(trial.score):
        return None
    return trial.score


def ranked(spec: JobSpec, trials: Sequence[Trial]) -> list[Trial]:
    """Those that have a score, the best first; of equals, the one made first."""
    sign = 1.0 if spec.objective.direction == "minimize" else -1.0
    scored = [(sign * score, one.number, one) for one in trials if (score := score_of(one)) is not None]
    return [one for _, _, one in sorted(scored, key=lambda entry: entry[:2])]


def may_go_on(trial: Trial) -> bool:
    """Whether more epochs would make anything of it: neither a stopping rule nor early stopping ended it."""
    until = trial.effort.until_epoch
    short = until is not None and trial.last_epoch is not None and trial.last_epoch < until
    return trial.state == TrialState.COMPLETED and not short


def continued(spec: JobSpec, trial: Trial, until_epoch: int | None, stage: Mapping[str, int | str]) -> Effort:
    """The effort of going on with a trial; a cross-validated or reused one has no model to go on with."""
    if spec.split.folds > 1 or trial.reused is not None:
        return Effort(until_epoch, stage={**stage, "promoted_from": trial.number})
    return Effort(until_epoch, parent=trial.number, stage=stage)


def _in_flight(number: int, suggestion: Suggestion) -> Trial:
    return Trial(
        number=number,
        state=TrialState.PENDING,
        attempt=0,
        hyperparameters=suggestion.values,
        score=None,
        best_epoch=None,
        metrics={},
        parameters=None,
        error=None,
        create_time=_EPOCH,
        start_time=None,
        end_time=None,
        effort=suggestion.effort,
    )


def _status(trial: Trial) -> str:
    if not trial.state.is_terminal:
        return str(Status.RUNNING)
    return str(Status.FAILED if score_of(trial) is None else Status.COMPLETED)
