"""Augmentation: what may be asked for, and which inputs it suits."""

from dataclasses import fields
from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.augmentation import FLIPS, LAYERS, MIXES, Augmentation, AugmentationSchema
from schemas.distributions import Choice, FloatRange
from schemas.models.family import Infeasible
from schemas.problems import error_items

HIGHEST = {
    "rotation": 0.5,
    "zoom": 0.9,
    "translation": 0.9,
    "crop": 0.9,
    "brightness": 1.0,
    "contrast": 1.0,
    "noise": 1.0,
    "color_jitter": 1.0,
    "erasing": 1.0,
    "mixup": 10.0,
    "cutmix": 10.0,
}
ALL = {"flip": "horizontal", **HIGHEST}


def refused(section: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        AugmentationSchema().load(section)
    return [(item.pointer, item.code) for item in error_items(caught.value.messages)]


def test_everything_is_off_unless_it_is_given() -> None:
    off = Augmentation(**AugmentationSchema().load({}))
    assert off == Augmentation()
    assert not off.is_active
    assert not off.mixes


def test_every_field_is_in_the_schema_and_either_a_layer_or_a_mix() -> None:
    names = [field.name for field in fields(Augmentation)]
    assert set(names) == set(AugmentationSchema().load_fields) == set(ALL)
    assert sorted(names) == sorted(LAYERS + MIXES)
    assert all(field.metadata["description"] for field in AugmentationSchema().load_fields.values())


@pytest.mark.parametrize("name", ALL)
def test_each_field_alone_is_active_or_mixes(name: str) -> None:
    augmentation = Augmentation(**{name: ALL[name]})
    assert augmentation.is_active == (name not in ("mixup", "cutmix"))
    assert augmentation.mixes == (name in ("mixup", "cutmix"))


@pytest.mark.parametrize(("name", "highest"), HIGHEST.items())
def test_amounts_have_limits(name: str, highest: float) -> None:
    assert AugmentationSchema().load({name: highest})[name] == highest
    assert refused({name: highest * 1.01}) == [(f"/{name}", "value_out_of_range")]
    assert refused({name: -0.01}) == [(f"/{name}", "value_out_of_range")]
    assert refused({name: "0.1"}) == [(f"/{name}", "invalid_type")]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"flip": "diagonal"}, [("/flip", "value_not_allowed")]),
        ({"flip": True}, [("/flip", "invalid_type")]),
        ({"shear": 0.1}, [("/shear", "unknown_field")]),
        ({"rotation": {"type": "float", "min": 0.0, "max": 0.7}}, [("/rotation/max", "value_out_of_range")]),
        ([], [("", "invalid_type")]),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(section: Any, expected: list[tuple[str, str]]) -> None:
    assert refused(section) == expected


@pytest.mark.parametrize("name", HIGHEST)
def test_every_amount_may_be_left_open(name: str) -> None:
    loaded = AugmentationSchema().load({name: {"type": "float", "min": 0.0, "max": 0.2}})[name]
    assert isinstance(loaded, FloatRange)
    assert loaded.otherwise == 0.0


def test_the_flip_may_be_left_open() -> None:
    loaded = AugmentationSchema().load({"flip": {"type": "choice", "values": list(FLIPS)}})["flip"]
    assert isinstance(loaded, Choice)
    assert loaded.otherwise == "none"


def test_images_of_three_channels_take_everything() -> None:
    Augmentation(**ALL).fits((8, 8, 3))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_take_everything_but_color_jitter(channels: int) -> None:
    Augmentation(**{**ALL, "color_jitter": 0.0}).fits((8, 8, channels))
    with pytest.raises(Infeasible, match=f"3 channels, and these have {channels}"):
        Augmentation(**ALL).fits((8, 8, channels))


@pytest.mark.parametrize("name", ALL)
def test_rows_of_features_take_noise_and_mixup_only(name: str) -> None:
    augmentation = Augmentation(**{name: ALL[name]})
    if name in ("noise", "mixup"):
        augmentation.fits((5,))
    else:
        with pytest.raises(Infeasible, match=f"not {name}$"):
            augmentation.fits((5,))


def test_all_that_rows_do_not_take_is_named_at_once() -> None:
    with pytest.raises(Infeasible, match=r"not flip, zoom, cutmix$"):
        Augmentation(flip="vertical", zoom=0.1, noise=0.1, cutmix=1.0).fits((5,))
