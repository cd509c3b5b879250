"""Whether a search fits its space: told at the place where it does not."""

from typing import Any

import pytest

from schemas.problems import Invalid
from schemas.search import SEARCHES
from schemas.specs import load_spec

RATE = {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"}
FILTERS = {"type": "choice", "values": [8, 16]}
MOMENTUM = {"type": "float", "min": 0.0, "max": 0.9, "when": {"training.optimizer": ["sgd"]}}
OPTIMIZER = {"type": "choice", "values": ["sgd", "adam"]}
WIDE = {
    "model": {"family": "cnn", "filters": FILTERS, "batch_norm": {"type": "boolean"}},
    "training": {"learning_rate": RATE, "optimizer": OPTIMIZER, "momentum": MOMENTUM},
}


def document(search: Any, **sections: Any) -> dict[str, Any]:
    least = {"dataset": "builtin:digits", "model": {"family": "cnn"}, "budget": {"max_trials": 4}}
    return {**least, **sections, "search": search}


def told(search: Any, **sections: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(Invalid) as caught:
        load_spec(document(search, **sections))
    assert caught.value.status == 422
    return [(item.pointer, item.code, item.detail) for item in caught.value.errors]


@pytest.mark.parametrize("algorithm", SEARCHES)
def test_every_algorithm_searches_a_space_of_numbers_and_choices(algorithm: str) -> None:
    for search in (
        {"algorithm": algorithm},
        {"algorithm": "lr_range_test", "then": {"algorithm": algorithm}},
    ):
        spec = load_spec(document(search, **WIDE))
        assert load_spec(spec.resolved).search == spec.search


@pytest.mark.parametrize("model", [{"family": "cnn"}, {"family": "cnn", "filters": FILTERS}])
def test_cmaes_needs_a_range_of_numbers(model: dict[str, Any]) -> None:
    ((place, code, text),) = told({"algorithm": "cmaes"}, model=model)
    assert (place, code) == ("/search/algorithm", "value_not_allowed")
    assert "tpe and random take choices" in text
    assert load_spec(document({"algorithm": "cmaes"}, model=model, training={"learning_rate": RATE}))


def test_coarse_to_fine_needs_something_open() -> None:
    ((place, code, text),) = told({"algorithm": "coarse_to_fine"})
    assert (place, code) == ("/search/algorithm", "value_not_allowed")
    assert text == "Nothing is open, so there is nothing to narrow."


@pytest.mark.parametrize(
    "values", [{"type": "int", "min": 1, "max": 9}, {"type": "choice", "values": [3, 9]}]
)
def test_hyperband_chooses_the_epochs_itself(values: dict[str, Any]) -> None:
    ((place, code, _),) = told({"algorithm": "hyperband"}, training={"epochs": values})
    assert (place, code) == ("/training/epochs", "value_not_allowed")


@pytest.mark.parametrize("rate", [0.01, {"type": "choice", "values": [0.1, 0.01]}])
def test_to_go_on_after_a_range_test_the_rate_is_open(rate: Any) -> None:
    search = {"algorithm": "lr_range_test", "then": {}}
    ((place, code, _),) = told(search, training={"learning_rate": rate})
    assert (place, code) == ("/training/learning_rate", "value_not_allowed")
    assert load_spec(document({"algorithm": "lr_range_test"}, training={"learning_rate": rate}))


def test_what_follows_a_range_test_is_held_to_the_same() -> None:
    def then(**search: Any) -> dict[str, Any]:
        return {"algorithm": "lr_range_test", "then": search}

    sections = {"training": {"learning_rate": RATE, "epochs": {"type": "int", "min": 1, "max": 9}}}
    assert told(then(algorithm="hyperband"), **sections)[0][:2] == ("/training/epochs", "value_not_allowed")
    wrong = then(enqueue=[{"training.epoch": 3}])
    assert told(wrong, **sections)[0][:2] == ("/search/then/enqueue/0/training.epoch", "unknown_field")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model.filters": 8},
        {"training.learning_rate": 1e-4, "model.batch_norm": True},
        {"training.learning_rate": 0.1, "training.optimizer": "sgd", "training.momentum": 0},
        {"training.momentum": 0.5},
    ],
)
def test_what_is_enqueued_lies_in_the_space(values: dict[str, Any]) -> None:
    assert load_spec(document({"enqueue": [values]}, **WIDE)).search.enqueue == (values,)


@pytest.mark.parametrize(
    ("values", "name", "code", "text"),
    [
        ({"training.learning_rat": 0.01}, "training.learning_rat", "unknown_field", "training.learning_rate"),
        ({"training.epochs": 3}, "training.epochs", "unknown_field", "No open value"),
        ({"learning_rate": 0.01}, "learning_rate", "unknown_field", "No open value"),
        ({"training.learning_rate": 0.2}, "training.learning_rate", "value_out_of_range", ""),
        ({"training.learning_rate": "0.01"}, "training.learning_rate", "value_out_of_range", ""),
        ({"training.learning_rate": True}, "training.learning_rate", "value_out_of_range", ""),
        ({"model.filters": 12}, "model.filters", "value_out_of_range", ""),
        ({"model.batch_norm": 1}, "model.batch_norm", "value_out_of_range", ""),
        (
            {"training.momentum": 0.5, "training.optimizer": "adam"},
            "training.momentum",
            "invalid_condition",
            "does not exist when training.optimizer is 'adam'",
        ),
    ],
)
def test_what_is_enqueued_outside_the_space_is_refused(
    values: dict[str, Any], name: str, code: str, text: str
) -> None:
    ((place, found, detail),) = told({"enqueue": [{}, values]}, **WIDE)
    assert (place, found) == (f"/search/enqueue/1/{name}", code)
    assert text in detail


def test_an_enqueued_value_is_on_a_step() -> None:
    training = {"batch_size": {"type": "int", "min": 16, "max": 64, "step": 16}}
    assert load_spec(document({"enqueue": [{"training.batch_size": 48}]}, training=training))
    wrong = {"enqueue": [{"training.batch_size": 40}]}
    assert told(wrong, training=training)[0][1] == "value_out_of_range"


@pytest.mark.parametrize(
    "search", [{"algorithm": "grid"}, {"algorithm": "lr_range_test", "then": {"algorithm": "grid"}}]
)
def test_a_grid_too_large_is_refused_at_its_algorithm(search: dict[str, Any]) -> None:
    thousand = {"type": "int", "min": 1, "max": 1000}
    sections = {"model": {"family": "cnn", "filters": thousand, "dense_units": thousand}}
    training = {"learning_rate": {**RATE, "step": 10}, "batch_size": thousand}
    ((place, code, _),) = told(search, training=training, **sections)
    assert code == "search_space_too_large"
    assert place == ("/search/then/algorithm" if "then" in search else "/search/algorithm")
