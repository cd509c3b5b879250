"""The family `transfer`: what a spec may say, the two phases, and what cannot be built."""

from dataclasses import replace
from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.distributions import Choice
from schemas.models import FAMILIES, Infeasible, ModelSchema, Phase
from schemas.models.backbones import BACKBONES, snake_name
from schemas.models.transfer import Transfer, TransferSchema
from schemas.problems import error_items

CLASSES = 10


def transfer(**fields: Any) -> Transfer:
    loaded = TransferSchema().load({"family": "transfer", **fields})
    return Transfer(**{name: value for name, value in loaded.items() if name != "family"})


def _errors(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        ModelSchema().load({"family": "transfer", **fields})  # type: ignore[no-untyped-call]
    return [(item.pointer, item.code) for item in error_items(caught.value.messages)]


class TestSchema:
    def test_it_is_a_family(self) -> None:
        assert FAMILIES["transfer"].schema is TransferSchema

    def test_every_field_has_a_default(self) -> None:
        loaded = TransferSchema().load({"family": "transfer"})
        assert loaded["backbone"] in BACKBONES
        assert set(loaded) == set(TransferSchema().fields)

    @pytest.mark.parametrize("name", sorted(set(TransferSchema().fields) - {"family", "job"}))
    def test_every_field_but_the_job_may_be_left_open(self, name: str) -> None:
        default = TransferSchema().load({"family": "transfer"})[name]
        other = {"avg": "max", "imagenet": "none", "relu": "tanh", "mobilenet_v2": "vgg16"}.get(default)
        values = [default, other] if other else [default, 0.5 if name in ("unfreeze", "dropout") else 1]
        loaded = TransferSchema().load({"family": "transfer", name: {"type": "choice", "values": values}})
        assert isinstance(loaded[name], Choice)
        assert TransferSchema().load(TransferSchema().dump(loaded)) == loaded

    def test_each_field_has_a_line_of_help(self) -> None:
        fields = TransferSchema().fields
        assert [name for name in fields if name != "family" and not fields[name].metadata] == []

    @pytest.mark.parametrize(
        ("fields", "pointer", "code"),
        [
            ({"backbone": "resnet51"}, "/backbone", "value_not_allowed"),
            (
                {"backbone": {"type": "choice", "values": ["vgg16", "vgg17"]}},
                "/backbone/values/1",
                "value_not_allowed",
            ),
            ({"weights": "coco"}, "/weights", "value_not_allowed"),
            ({"job": "ds_1"}, "/job", "invalid_value"),
            ({"job": "job_../x"}, "/job", "invalid_value"),
            ({"job": {"type": "choice", "values": ["job_1", "job_2"]}}, "/job", "invalid_type"),
            ({"unfreeze": 1.01}, "/unfreeze", "value_out_of_range"),
            ({"fine_tune_learning_rate": 0}, "/fine_tune_learning_rate", "value_out_of_range"),
            ({"frozen_epochs": -1}, "/frozen_epochs", "value_out_of_range"),
            ({"earlier_parameters": 7}, "/earlier_parameters", "unknown_field"),
        ],
    )
    def test_what_is_wrong_is_pointed_at(self, fields: dict[str, Any], pointer: str, code: str) -> None:
        assert _errors(**fields) == [(pointer, code)]

    @pytest.mark.parametrize("backbone", ["job", {"type": "choice", "values": ["vgg16", "job"]}])
    def test_the_backbone_job_needs_a_job(self, backbone: Any) -> None:
        assert _errors(backbone=backbone) == [("/job", "missing_field")]
        assert _errors(backbone=backbone, job=None) == [("/job", "missing_field")]
        assert TransferSchema().load({"family": "transfer", "backbone": backbone, "job": "job_01k"})

    def test_a_job_is_used_only_where_it_is_the_backbone(self) -> None:
        assert transfer(backbone="job", job="job_01k").earlier_job == "job_01k"
        assert transfer(backbone="vgg16", job="job_01k").earlier_job is None


class TestPhases:
    @pytest.mark.parametrize(
        ("frozen_epochs", "unfreeze", "expected"),
        [
            (3, 0.25, [Phase(3, 0.01, 0.0), Phase(7, 1e-5, 0.25)]),
            (3, 0.0, [Phase(3, 0.01, 0.0), Phase(7, 1e-5, 0.0)]),
            (0, 1.0, [Phase(10, 1e-5, 1.0)]),
            (10, 1.0, [Phase(10, 0.01, 0.0)]),
            (99, 1.0, [Phase(10, 0.01, 0.0)]),
        ],
    )
    def test_the_epochs_are_shared_out(
        self, frozen_epochs: int, unfreeze: float, expected: list[Phase]
    ) -> None:
        model = transfer(frozen_epochs=frozen_epochs, unfreeze=unfreeze, fine_tune_learning_rate=1e-5)
        assert model.phases(10, 0.01) == expected


class TestCount:
    def test_a_head_on_a_backbone(self) -> None:
        parameters, features = BACKBONES["resnet50"].parameters, BACKBONES["resnet50"].features
        assert transfer(backbone="resnet50").count_parameters((64, 64, 3), CLASSES) == (
            parameters + (features + 1) * CLASSES
        )

    def test_one_channel_is_repeated_for_imagenet_and_taken_as_it_is_otherwise(self) -> None:
        model = transfer(backbone="resnet50")
        gray, rgb = (model.count_parameters((64, 64, channels), CLASSES) for channels in (1, 3))
        assert gray == rgb
        untrained = replace(model, weights="none").count_parameters((64, 64, 1), CLASSES)
        assert rgb - untrained == 2 * BACKBONES["resnet50"].parameters_per_channel

    def test_of_an_earlier_job_only_what_is_known(self) -> None:
        model = transfer(backbone="job", job="job_1", dense_units=5)
        assert model.count_parameters((8, 8, 1), CLASSES) == (0 + 1) * 5 + (5 + 1) * CLASSES
        known = replace(model, earlier_parameters=1000, earlier_features=64)
        assert known.count_parameters((8, 8, 1), CLASSES) == 1000 + (64 + 1) * 5 + (5 + 1) * CLASSES

    @pytest.mark.parametrize(
        ("fields", "shape", "said"),
        [
            ({"backbone": "vgg16"}, (31, 64, 3), "vgg16 takes images of 32 x 32 and more"),
            ({"backbone": "xception"}, (71, 70, 3), "xception takes images of 71 x 71 and more"),
            ({"backbone": "vgg16", "weights": "none"}, (64, 31, 3), "image_size"),
            ({"backbone": "vgg16"}, (32, 32, 4), "have 4"),
            ({"backbone": "vgg16"}, (64,), "not rows of features"),
        ],
    )
    def test_what_cannot_be_built_is_told(
        self, fields: dict[str, Any], shape: tuple[int, ...], said: str
    ) -> None:
        with pytest.raises(Infeasible, match=said):
            transfer(**fields).count_parameters(shape, CLASSES)

    def test_the_smallest_images_are_enough(self) -> None:
        for name, backbone in BACKBONES.items():
            shape = (backbone.smallest, backbone.smallest, 3)
            assert transfer(backbone=name).count_parameters(shape, CLASSES) > backbone.parameters


def test_the_names_of_the_backbones_are_those_of_keras_in_snake_case() -> None:
    for name, backbone in BACKBONES.items():
        assert name.replace("_", "") == backbone.application.lower()
        assert snake_name(backbone.application) == name
