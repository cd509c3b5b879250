"""Slots: how many, and what share of the machine each has."""

from pathlib import Path

import pytest

from tasks import slots


def test_visible_gpus_are_those_of_the_environment() -> None:
    assert slots.gpus({"CUDA_VISIBLE_DEVICES": "2,GPU-abc"}) == ["2", "GPU-abc"]
    assert slots.gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert slots.gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []


def test_the_drivers_tool_is_asked_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-a)'\necho 'GPU 1: H200 (UUID: GPU-b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert slots.gpus({}) == ["0", "1"]


def test_a_tool_that_fails_or_is_missing_means_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slots.gpus({}) == []
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert slots.gpus({}) == []


def test_slots_are_as_wanted_or_gpus_or_cores() -> None:
    assert slots.count(3, {"CUDA_VISIBLE_DEVICES": "0,1"}) == 3
    assert slots.count(0, {"CUDA_VISIBLE_DEVICES": "0,1"}) == 2
    assert slots.count(0, {"CUDA_VISIBLE_DEVICES": ""}) == slots.cores() >= 1


def test_each_slot_has_its_share_of_the_cores() -> None:
    environment: dict[str, str] = {}
    slots.share_cores(1, environment)
    assert environment["TF_NUM_INTRAOP_THREADS"] == str(slots.cores())
    crowded: dict[str, str] = {}
    slots.share_cores(1000, crowded)
    assert crowded["OMP_NUM_THREADS"] == "1"


def test_what_the_operator_has_set_stays() -> None:
    environment = {"TF_NUM_INTRAOP_THREADS": "5"}
    slots.share_cores(1000, environment)
    assert environment["TF_NUM_INTRAOP_THREADS"] == "5"
    assert environment["TF_NUM_INTEROP_THREADS"] == "1"


def test_each_slot_takes_one_gpu_in_turn() -> None:
    taken = []
    for index in range(3):
        environment = {"CUDA_VISIBLE_DEVICES": "4,7"}
        slots.take_gpu(index, environment)
        taken.append(environment["CUDA_VISIBLE_DEVICES"])
    assert taken == ["4", "7", "4"]


def test_without_gpus_nothing_is_taken() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": ""}
    slots.take_gpu(0, environment)
    assert environment == {"CUDA_VISIBLE_DEVICES": ""}
