"""How to search: the table of algorithms, each with its options."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import post_load, validate

from schemas.distributions import Value
from schemas.fields import (
    Among,
    Between,
    Boolean,
    Dict,
    Integer,
    List,
    Nested,
    Number,
    Pattern,
    Sized,
    StrictSchema,
    String,
)
from schemas.stopping import NoStopping, Stopping, StoppingSchema
from schemas.tunables import Scalar
from schemas.variants import VariantSchema

ORDERS = ("row_major", "outside_in")
# Above this a grid is refused when the job is posted: nobody means to train a million models.
MAX_GRID_SIZE = 1_000_000
MAX_ENQUEUED = 1_000


@dataclass(frozen=True)
class Search:
    """What every algorithm takes.

    Args:
        enqueue: configurations to try first, open values by their names; what they leave out is drawn.
        warm_start: ended jobs whose trials are told to the algorithm.
        reuse: take the result of an equal trial of another job instead of training again.
    """

    algorithm: ClassVar[str]

    stopping: Stopping
    enqueue: tuple[Mapping[str, Value], ...]
    warm_start: tuple[str, ...]
    reuse: bool


@dataclass(frozen=True)
class RandomSearch(Search):
    algorithm = "random"


@dataclass(frozen=True)
class GridSearch(Search):
    algorithm = "grid"
    order: str


@dataclass(frozen=True)
class BayesianSearch(Search):
    algorithm = "bayesian"


@dataclass(frozen=True)
class TpeSearch(Search):
    algorithm = "tpe"


@dataclass(frozen=True)
class CmaesSearch(Search):
    algorithm = "cmaes"


@dataclass(frozen=True)
class HyperbandSearch(Search):
    algorithm = "hyperband"
    factor: int


@dataclass(frozen=True)
class Coarse:
    """The first stage: ``trials``, ``epochs`` and ``data`` are shares of what there is."""

    algorithm: str
    trials: float
    epochs: float
    data: float


@dataclass(frozen=True)
class Fine:
    """The second stage.

    Args:
        promote: so many of the best coarse trials go on with all epochs and data.
        width: the share of each range that is searched, around the best of them.
    """

    algorithm: str
    promote: int
    width: float


@dataclass(frozen=True)
class CoarseToFineSearch(Search):
    algorithm = "coarse_to_fine"
    coarse: Coarse
    fine: Fine

    def coarse_trials(self, max_trials: int) -> int:
        """How many trials the first stage has; both have one at least, if there are two."""
        return max(1, min(math.ceil(self.coarse.trials * max_trials), max_trials - 1))


@dataclass(frozen=True)
class RangeTest(Search):
    """Learning rates from ``low`` to ``high`` in ``steps`` steps of the optimizer; then a search.

    What every algorithm takes is that search's.
    """

    algorithm = "lr_range_test"
    low: float
    high: float
    steps: int
    then: Search | None


# The best of ours on most of the problems of `benchmarks/bench_search.py`.
DEFAULT = BayesianSearch.algorithm


class _AlgorithmSchema(StrictSchema):
    """What every algorithm but the range test takes."""

    makes: ClassVar[type[Search]]

    stopping = Nested(
        StoppingSchema,
        load_default=StoppingSchema.empty,
        metadata={"description": "Which trials are ended early."},
    )
    enqueue = List(
        Dict(keys=String(validate=Sized(max=500)), values=Scalar()),
        load_default=list,
        validate=Sized(max=MAX_ENQUEUED),
        metadata={
            "description": "Configurations to try first: values by the names of what is open. What one "
            "leaves out is chosen by the search."
        },
    )
    warm_start = List(
        String(validate=Pattern(r"job_[a-z0-9]{1,64}", "An id job_....")),
        load_default=list,
        validate=Sized(max=32),
        metadata={"description": "Ended jobs whose trials the algorithm learns from."},
    )
    reuse = Boolean(
        load_default=False,
        metadata={
            "description": "Take the result of an equal finished trial (same data, configuration, seed and "
            "version) of another job of the project instead of training again."
        },
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Search:
        data.pop("algorithm")
        # A job that is named twice has not learned twice.
        data |= {"enqueue": tuple(data["enqueue"]), "warm_start": tuple(dict.fromkeys(data["warm_start"]))}
        return self.makes(**data)


class RandomSchema(_AlgorithmSchema):
    """Every trial drawn at random from the space; no configuration twice."""

    makes = RandomSearch

    algorithm = String(required=True, validate=validate.Equal(RandomSearch.algorithm))


class GridSchema(_AlgorithmSchema):
    """Every combination of the values, the last hyperparameter moving fastest."""

    makes = GridSearch

    algorithm = String(required=True, validate=validate.Equal(GridSearch.algorithm))
    order = String(
        load_default="row_major",
        validate=Among(ORDERS),
        metadata={
            "description": "outside_in: each range from both ends, the upper one first, towards the middle; "
            "row_major: from the lower end."
        },
    )


class BayesianSchema(_AlgorithmSchema):
    """A Gaussian process over what was tried; the next trial is where it expects the most."""

    makes = BayesianSearch

    algorithm = String(load_default=DEFAULT, validate=validate.Equal(BayesianSearch.algorithm))


class TpeSchema(_AlgorithmSchema):
    """Densities of the good and of the bad trials (tree-structured Parzen estimator), in milliseconds."""

    makes = TpeSearch

    algorithm = String(required=True, validate=validate.Equal(TpeSearch.algorithm))


class CmaesSchema(_AlgorithmSchema):
    """Covariance matrix adaptation: an evolution strategy over the numbers; the rest is drawn at random."""

    makes = CmaesSearch

    algorithm = String(required=True, validate=validate.Equal(CmaesSearch.algorithm))


class HyperbandSchema(_AlgorithmSchema):
    """Many trials with few epochs; the best of them go on, where they stopped, with more."""

    makes = HyperbandSearch

    algorithm = String(required=True, validate=validate.Equal(HyperbandSearch.algorithm))
    factor = Integer(
        load_default=3,
        validate=Between(2, 10),
        metadata={"description": "One in so many trials goes on, with so many times the epochs."},
    )


_STAGES = ("random", "grid")


class CoarseSchema(StrictSchema):
    algorithm = String(
        load_default="random",
        validate=Among(_STAGES),
        metadata={"description": "Of the first stage."},
    )
    trials = Number(
        load_default=0.5,
        validate=Between(0.01, 0.99),
        metadata={"description": "Share of `max_trials` that the first stage has."},
    )
    epochs = Number(
        load_default=0.25,
        validate=Between(0.001, 1.0),
        metadata={"description": "Share of the epochs that its trials train; at least one."},
    )
    data = Number(
        load_default=1.0,
        validate=Between(0.01, 1.0),
        metadata={"description": "Share of the training images that they see; at least one of each class."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Coarse:
        return Coarse(**data)


class FineSchema(StrictSchema):
    algorithm = String(
        load_default="random",
        validate=Among(_STAGES),
        metadata={"description": "Of the second stage."},
    )
    promote = Integer(
        load_default=1,
        validate=Between(0, 100),
        metadata={"description": "So many of the best coarse trials go on with all epochs and data."},
    )
    width = Number(
        load_default=0.25,
        validate=Between(0.01, 1.0),
        metadata={"description": "Share of each range that is searched around the best value."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Fine:
        return Fine(**data)


class CoarseToFineSchema(_AlgorithmSchema):
    """Short trials over the whole space, then full ones in a narrow space around the best."""

    makes = CoarseToFineSearch

    algorithm = String(required=True, validate=validate.Equal(CoarseToFineSearch.algorithm))
    coarse = Nested(
        CoarseSchema,
        load_default=lambda: CoarseSchema().load({}),
        metadata={"description": "Of the first stage."},
    )
    fine = Nested(
        FineSchema,
        load_default=lambda: FineSchema().load({}),
        metadata={"description": "Of the second stage."},
    )


SEARCHES: dict[str, type[_AlgorithmSchema]] = {
    schema.makes.algorithm: schema
    for schema in (
        RandomSchema,
        GridSchema,
        BayesianSchema,
        HyperbandSchema,
        TpeSchema,
        CmaesSchema,
        CoarseToFineSchema,
    )
}


class ThenSchema(VariantSchema):
    """The search that follows a range test."""

    type_field = "algorithm"
    type_schemas = SEARCHES
    default = DEFAULT


class RangeTestSchema(StrictSchema):
    """One training over a growing learning rate (Smith 2017): the loss at each rate, a range to search."""

    algorithm = String(required=True, validate=validate.Equal(RangeTest.algorithm))
    low = Number(
        load_default=1e-7,
        validate=Between(1e-12, 1e-3),
        metadata={"description": "The rate of the first step."},
    )
    high = Number(
        load_default=1.0,
        validate=Between(1e-2, 1_000.0),
        metadata={"description": "The rate of the last step."},
    )
    steps = Integer(
        load_default=100,
        validate=Between(20, 100_000),
        metadata={"description": "Batches trained on, each at a higher rate than the one before."},
    )
    then = Nested(
        ThenSchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "Go on with this search, inside the range that was found."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Search:
        data.pop("algorithm")
        then = data["then"]
        if then is None:
            return RangeTest(NoStopping(), (), (), False, **data)
        return RangeTest(then.stopping, then.enqueue, then.warm_start, then.reuse, **data)


ALGORITHMS: dict[str, type[StrictSchema]] = {**SEARCHES, RangeTest.algorithm: RangeTestSchema}


class SearchSchema(VariantSchema):
    """One of the algorithms, told apart by ``algorithm``."""

    type_field = "algorithm"
    type_schemas = ALGORITHMS
    default = DEFAULT
