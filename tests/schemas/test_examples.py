"""The experiments of the articles are all in examples/, load, and stand in docs/examples.md."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.datasets import BUILTINS
from schemas.estimates import estimate
from schemas.schedules import SCHEDULES
from schemas.spaces import points
from schemas.specs import JobSpec, load_spec

ROOT = Path(__file__).parents[2]
DOCUMENTS = {file.stem: json.loads(file.read_text()) for file in sorted((ROOT / "examples").glob("*.json"))}
DOCS = (ROOT / "docs" / "examples.md").read_text()
ROW = re.compile(
    r"^\| \[`([\w-]+)\.json`\]\(\.\./examples/([\w-]+)\.json\) \| (.+) \| (.+) \|$", re.MULTILINE
)
LARGE_ENOUGH = 10**8


def values(spec: JobSpec, name: str) -> list[Any]:
    """What a value of the spec may be: those that a grid takes, or the one that it is fixed to."""
    for one in spec.space:
        if one.name == name:
            return one.distribution.grid_values()
    found: Any = spec.resolved
    for part in name.split("."):
        if isinstance(found, list):
            found = found[int(part)] if int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, dict) else None
    return [found]


def opened(spec: JobSpec) -> set[str]:
    return {one.name for one in spec.space}


def defaults(spec: JobSpec) -> dict[str, Any]:
    """The values that are tried first, where they are given."""
    found = {one.name: one.distribution.default for one in spec.space}
    return {name: value for name, value in found.items() if value is not None}


def article_cnn(spec: JobSpec) -> bool:
    """The CNN of article 002, line by line; only its dropout is left open."""
    if spec.document["model"]["family"] != "layers":
        return False
    layers = [
        (layer.get("type"), layer.get("filters"), layer.get("units"), layer.get("activation"))
        for layer in spec.resolved["model"]["layers"]
    ]
    return layers == [
        ("Conv2D", 32, None, "relu"),
        ("MaxPooling2D", None, None, None),
        ("Flatten", None, None, None),
        ("Dense", None, 128, "relu"),
        ("Dropout", None, None, None),
    ]


def conditions(spec: JobSpec, name: str) -> list[str]:
    return [condition.parent for one in spec.space if one.name == name for condition in one.conditions]


RATE, EPOCHS, BATCH = "training.learning_rate", "training.epochs", "training.batch_size"
SCHEDULE, ARTICLE_DROPOUT = "training.schedule.type", "model.layers.4.rate"
FIVE = ["sgd", "adam", "adagrad", "adadelta", "rmsprop"]
AUGMENTED = {f"augmentation.{name}" for name in ("crop", "brightness", "noise", "color_jitter")}
SWEEP = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]

# (article, what it has, whether an example shows it)
WANTED: list[tuple[str, str, Callable[[JobSpec], bool]]] = [
    ("000", "the learning rate as a tunable", lambda s: RATE in opened(s)),
    (
        "000",
        "exponential decay by 0.95 an epoch from 0.001",
        lambda s: (
            values(s, SCHEDULE) == ["exponential"]
            and values(s, RATE) == [0.001]
            and 0.95 in values(s, "training.schedule.rate")
        ),
    ),
    ("000", "cyclical learning rates", lambda s: values(s, SCHEDULE) == ["cyclical"]),
    (
        "000",
        "batch sizes 32 to 256",
        lambda s: opened(s) == {BATCH} and values(s, BATCH) == [32, 64, 128, 256],
    ),
    (
        "000",
        "epochs and early stopping",
        lambda s: EPOCHS in opened(s) and s.resolved["training"]["early_stopping"] is not None,
    ),
    ("000", "filters 32, 64, 128", lambda s: values(s, "model.filters") == [32, 64, 128]),
    ("000", "filters that grow", lambda s: values(s, "model.filter_growth") == [1, 2]),
    ("000", "kernel size", lambda s: {3, 5} < set(values(s, "model.kernel_size"))),
    (
        "001",
        "five optimizers, momentum where there is one",
        lambda s: (
            values(s, "training.optimizer") == FIVE
            and conditions(s, "training.momentum") == ["training.optimizer"]
        ),
    ),
    ("001", "fixed and decreasing rates", lambda s: set(values(s, SCHEDULE)) == set(SCHEDULES)),
    (
        "001",
        "activation and initialisation",
        lambda s: {"model.activation", "model.initializer"} <= opened(s),
    ),
    ("001", "hidden layers and units", lambda s: {"model.layers", "model.units"} <= opened(s)),
    ("001", "dropout of 0.5 first", lambda s: defaults(s).get("model.dropout") == 0.5),
    ("001", "grid search", lambda s: s.search.algorithm == "grid"),
    ("001", "random search", lambda s: s.search.algorithm == "random"),
    (
        "001",
        "coarse ranges, few epochs, fewer images, then a narrow search with all of them",
        lambda s: (
            s.search.algorithm == "coarse_to_fine"
            and s.search.coarse.epochs <= 0.25
            and s.search.coarse.data <= 0.5
            and RATE in opened(s)
        ),
    ),
    (
        "000",
        "a learning-rate range test, and a search inside what it suggests",
        lambda s: s.search.algorithm == "lr_range_test" and s.search.then is not None,
    ),
    ("001", "known good values enqueued", lambda s: len(s.search.enqueue) > 1),
    ("002", "Keras Tuner's Bayesian search", lambda s: s.search.algorithm == "bayesian"),
    ("002", "Keras Tuner's Hyperband", lambda s: s.search.algorithm == "hyperband"),
    (
        "002",
        "random first, then a grid around the best",
        lambda s: (
            s.search.algorithm == "coarse_to_fine"
            and (s.search.coarse.algorithm, s.search.fine.algorithm) == ("random", "grid")
        ),
    ),
    ("001", "known good values first", lambda s: set(defaults(s)) == opened(s) and len(s.space) > 2),
    (
        "002",
        "the grid of 3 x 2 x 2 on 3 folds",
        lambda s: (
            article_cnn(s)
            and (s.search.algorithm, s.split.folds, s.space.grid_size()) == ("grid", 3, 12)
            and values(s, RATE) == [0.001, 0.01, 0.1]
            and values(s, ARTICLE_DROPOUT) == [0.3, 0.5]
            and values(s, BATCH) == [32, 64]
        ),
    ),
    (
        "002",
        "a grid of 100,000, warned of",
        lambda s: s.search.algorithm == "grid" and s.space.grid_size() == 100_000,
    ),
    (
        "002",
        "random search over uniform ranges, 10 of them, on 3 folds",
        lambda s: (
            article_cnn(s)
            and (s.search.algorithm, s.split.folds, s.budget.max_trials) == ("random", 3, 10)
            and s.space.size() is None
        ),
    ),
    (
        "002",
        "Keras Tuner's dropout and learning rate",
        lambda s: (
            article_cnn(s)
            and values(s, ARTICLE_DROPOUT) == [0.3, 0.4, 0.5, 0.6, 0.7]
            and values(s, RATE) == [0.001, 0.01, 0.1]
            and s.budget.max_trials == 5
        ),
    ),
    (
        "003",
        "flips, rotation of 0.2, zoom of 0.2",
        lambda s: (
            "horizontal_and_vertical" in values(s, "augmentation.flip")
            and 0.2 in values(s, "augmentation.rotation")
            and 0.2 in values(s, "augmentation.zoom")
        ),
    ),
    ("003", "crops, colour jitter, brightness, noise", lambda s: opened(s) >= AUGMENTED),
    (
        "003",
        "[0, 1] against standardised",
        lambda s: {"unit", "standardize"} <= set(values(s, "preprocessing.scaling")),
    ),
    (
        "003",
        "depth, width, residual connections, attention",
        lambda s: {f"model.{name}" for name in ("blocks", "filters", "residual", "attention")} <= opened(s),
    ),
    ("003", "depth as a repeat of layers", lambda s: any(name.endswith(".repeat") for name in opened(s))),
    ("003", "vision transformers", lambda s: values(s, "model.family") == ["vit"]),
    (
        "003",
        "a frozen base with a new head of 1024, then fine-tuning",
        lambda s: (
            values(s, "model.family") == ["transfer"]
            and values(s, "model.dense_units") == [1024]
            and 0 < values(s, "model.frozen_epochs")[0] < values(s, EPOCHS)[0]
        ),
    ),
    (
        "003",
        "L2 of 0.001 and dropout of 0.25 and 0.5",
        lambda s: (
            defaults(s)
            == {
                "model.layers.0.kernel_regularizer.l2": 0.001,
                "model.layers.2.rate": 0.25,
                "model.layers.4.kernel_regularizer.l2": 0.001,
                "model.layers.5.rate": 0.5,
            }
        ),
    ),
    (
        "004",
        "0.1 to 1e-7 from the ends, a tenth every 10 epochs",
        lambda s: (
            getattr(s.search, "order", None) == "outside_in"
            and values(s, RATE) == pytest.approx(SWEEP)
            and s.resolved["training"]["schedule"] == {"type": "step", "every": 10, "factor": 0.1}
        ),
    ),
    (
        "004",
        "75/25, batches of 1",
        lambda s: (s.split.validation, s.split.test) == (0.25, 0.0) and values(s, BATCH) == [1],
    ),
]


WARNINGS = {
    "grid-that-explodes": {"grid_exceeds_budget", "grid_without_step"},
    # Without a network there are no weights of ImageNet.
    "transfer-freeze-unfreeze": {"frozen_at_random"},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_example_resolves_to_the_same_again(name: str) -> None:
    spec = load_spec(DOCUMENTS[name])
    again = load_spec(json.loads(json.dumps(spec.resolved)))
    assert (again.resolved, again.digest) == (spec.resolved, spec.digest)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_example_leaves_something_open_and_can_be_built_in_every_corner(name: str) -> None:
    spec = load_spec(DOCUMENTS[name])
    price = estimate(spec, BUILTINS[spec.dataset], LARGE_ENOUGH)
    assert len(spec.space) > 0
    assert price.trials == spec.budget.max_trials
    assert {warning["code"] for warning in price.warnings} == WARNINGS.get(name, set())


def test_every_schedule_is_tried_with_the_values_that_it_has() -> None:
    spec = load_spec(DOCUMENTS["schedules-compared"])
    tried = [(one[SCHEDULE], one.get("training.schedule.factor")) for one in points(spec.space)]
    with_factor = [(kind, factor) for kind in ("step", "plateau") for factor in (0.1, 0.3)]
    without = [(kind, None) for kind in set(SCHEDULES) - {"step", "plateau"}]
    assert sorted(tried, key=str) == sorted(with_factor + without, key=str)
    assert spec.budget.max_trials == len(tried), "the budget has room for all"


def test_every_example_says_what_it_shows() -> None:
    names = [document["name"] for document in DOCUMENTS.values()]
    assert len(set(names)) == len(names)
    assert all(names)


@pytest.mark.parametrize(
    ("article", "has", "is_shown"), WANTED, ids=[f"{number} {has}" for number, has, _ in WANTED]
)
def test_every_experiment_of_the_articles_is_an_example(
    article: str, has: str, is_shown: Callable[[JobSpec], bool]
) -> None:
    shown = [name for name, document in DOCUMENTS.items() if is_shown(load_spec(document))]
    told = {name: articles for name, _, _, articles in ROW.findall(DOCS)}
    assert any(article in told[name] for name in shown), shown


def test_the_docs_have_a_line_for_every_example_and_no_other() -> None:
    rows = ROW.findall(DOCS)
    assert [name for name, _, _, _ in rows] == [link for _, link, _, _ in rows]
    assert sorted(name for name, _, _, _ in rows) == sorted(DOCUMENTS)
    assert len(rows) == DOCS.count("\n| [`")
