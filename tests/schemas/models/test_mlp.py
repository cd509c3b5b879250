"""The family `mlp`: dense layers over images or rows of features."""

from typing import Any

import pytest

from schemas.models.mlp import Mlp, MlpSchema
from tests.schemas.faults import faults


def test_nothing_but_the_family_is_required() -> None:
    loaded = MlpSchema().load({"family": "mlp"})
    assert loaded.pop("family") == "mlp"
    assert Mlp(**loaded) == Mlp(layers=2, units=128, activation="relu", dropout=0.0, l2=0.0)


@pytest.mark.parametrize(
    ("layers", "units", "shape", "expected"),
    [
        (0, 5, (8, 8, 1), 65 * 10),
        (1, 5, (8, 8, 1), 65 * 5 + 6 * 10),
        (3, 5, (64,), 65 * 5 + 2 * 6 * 5 + 6 * 10),
        (1, 7, (2, 3, 4), 25 * 7 + 8 * 10),
        (1, 7, (1,), 2 * 7 + 8 * 10),
    ],
)
def test_parameters_are_counted_layer_by_layer(
    layers: int, units: int, shape: tuple[int, ...], expected: int
) -> None:
    assert Mlp(layers, units, "relu", 0.5, 0.1).count_parameters(shape, 10) == expected


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"layers": -1}, [("/layers", "value_out_of_range")]),
        ({"layers": 33}, [("/layers", "value_out_of_range")]),
        ({"layers": [64, 32]}, [("/layers", "invalid_type")]),
        ({"units": 0}, [("/units", "value_out_of_range")]),
        ({"units": 10**9}, [("/units", "value_out_of_range")]),
        ({"activation": "os.system"}, [("/activation", "value_not_allowed")]),
        ({"dropout": 1.0}, [("/dropout", "value_out_of_range")]),
        ({"filters": 8}, [("/filters", "unknown_field")]),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(
    section: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert faults(MlpSchema, {"family": "mlp", **section}) == expected
