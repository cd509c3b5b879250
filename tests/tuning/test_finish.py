"""The end of a job: a model that plain Keras loads, with proof of its score."""

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from schemas.specs import JobSpec, load_spec
from schemas.states import TrialState
from schemas.trials import Trial
from tests.tuning.makers import MAX_PARAMETERS, NOW, Recorder, bars, new_spec, new_trial, recipe_of
from tuning import finish, trial
from tuning.data import Arrays, divide
from tuning.finish import Finished, VerificationFailed
from tuning.models import Materials
from tuning.training import Interrupted, Share

IMAGES = bars(120)
VALUES = {"model.filters": 6}
# Run by an interpreter that knows nothing of this project: Keras alone loads and scores the model.
PLAIN = """
import json, sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
data = np.load(sys.argv[2])
probabilities = model.predict(data["x"], verbose=0)
assert not any(name.split(".")[0] in ("tuning", "schemas", "store") for name in sys.modules)
print(json.dumps({
    "accuracy": float((probabilities.argmax(axis=1) == data["y"]).mean()),
    "sums": [float(probabilities.sum(axis=1).min()), float(probabilities.sum(axis=1).max())],
    "input": list(model.input_shape), "output": list(model.output_shape),
}))
"""


def _spec(**changes: Any) -> JobSpec:
    return new_spec(
        {"filters": {"type": "choice", "values": [4, 6]}, "batch_norm": True},
        {"epochs": 6, "batch_size": 16, "learning_rate": 0.01},
        name="bars é",
        **changes,
    )


def _trials(best_epoch: int = 4) -> list[Trial]:
    failed = {"code": "non_finite_objective", "message": "loss is nan"}
    return [
        new_trial(0, {"model.filters": 4}, TrialState.FAILED, error=failed),
        new_trial(1, VALUES, score=0.9, best_epoch=best_epoch, metrics={"val_accuracy": 0.9}),
        new_trial(2, {"model.filters": 4}, TrialState.CANCELLED, start_time=None, end_time=NOW),
    ]


def _finish(
    folder: Path,
    spec: JobSpec,
    weights: Path | None = None,
    reporter: Recorder | None = None,
    arrays: Arrays = IMAGES,
) -> Finished:
    trials = _trials()
    return finish.finish(
        spec, trials, trials[1], arrays, weights, "sha256:d", folder,
        reporter or Recorder(), Materials(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def refit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    folder = tmp_path_factory.mktemp("refit")
    return folder, _finish(folder, _spec())


def _test_share(spec: JobSpec) -> Share:
    indices = divide(IMAGES.y, spec.split, spec.seed)[0].test
    return Share(IMAGES.x[indices], IMAGES.y[indices])


def test_the_model_is_scored_on_the_test_share_and_verified(refit: tuple[Path, Finished]) -> None:
    _, done = refit
    assert done.refit
    assert done.test is not None
    assert done.verified is not None
    assert done.test["accuracy"] > 0.8
    assert done.verified == {"accuracy": done.test["accuracy"], "difference": 0.0}


def test_plain_keras_scores_what_the_result_says(refit: tuple[Path, Finished], tmp_path: Path) -> None:
    folder, done = refit
    share = _test_share(_spec())
    np.savez(tmp_path / "test.npz", x=share.x, y=share.y)
    command = [sys.executable, "-I", "-c", PLAIN, str(folder / "model.keras"), "test.npz"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert done.test is not None
    assert told["accuracy"] == pytest.approx(done.test["accuracy"])
    assert told["sums"] == pytest.approx([1, 1], abs=1e-5)
    assert (told["input"], told["output"]) == ([None, 8, 8, 1], [None, 3])


def test_the_class_names_are_inside(refit: tuple[Path, Finished]) -> None:
    with zipfile.ZipFile(refit[0] / "model.keras") as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("class_names.json")) == ["bar é0", "bar é1", "bar é2"]


def test_the_files_are_those_with_a_media_type(refit: tuple[Path, Finished]) -> None:
    folder, done = refit
    assert [file.name for file in done.files] == list(finish.MEDIA_TYPES)
    assert {file.name for file in folder.iterdir()} == set(finish.MEDIA_TYPES)


def test_the_table_of_trials_is_right(refit: tuple[Path, Finished]) -> None:
    with (refit[0] / "trials.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert [row["state"] for row in rows] == ["failed", "completed", "cancelled"]
    assert rows[1]["score"] == rows[1]["val_accuracy"] == "0.9"
    assert rows[1]["model.filters"] == "6"
    assert (rows[0]["error"], rows[0]["score"]) == ("non_finite_objective", "")
    assert rows[2]["seconds"] == ""


def test_what_it_takes_to_reproduce_is_right(refit: tuple[Path, Finished]) -> None:
    told = json.loads((refit[0] / "reproduce.json").read_text(encoding="utf-8"))
    spec = _spec()
    assert (told["seed"], told["trial"], told["epoch"]) == (0, 1, 4)
    assert told["hyperparameters"] == VALUES
    assert load_spec(told["spec"]).digest == told["spec_digest"] == spec.digest
    assert told["dataset_digest"] == "sha256:d"
    assert told["versions"]["keras"] == keras.__version__
    assert told["device"]
    indices = divide(IMAGES.y, spec.split, spec.seed)[0]
    for name in ("training", "validation", "test"):
        assert told["split"][name] == getattr(indices, name).tolist()


def test_refit_trains_the_best_epochs_on_all_but_the_test_share(tmp_path: Path) -> None:
    recorder = Recorder()
    _finish(tmp_path, _spec(), reporter=recorder)
    seen = len(IMAGES.y) - len(_test_share(_spec()).y)
    assert recorder.steps == 4 * -(-seen // 16)


def test_without_refit_the_trials_own_weights_are_handed_out(tmp_path: Path) -> None:
    spec = _spec(result={"refit": False})
    result = trial.run(spec, recipe_of(spec, VALUES), IMAGES, Recorder(), MAX_PARAMETERS)
    weights = tmp_path / "weights.npz"
    trial.save_weights(result.weights, weights)
    folder = tmp_path / "out"
    folder.mkdir()
    recorder = Recorder()
    done = _finish(folder, spec, weights, recorder)
    assert (done.refit, recorder.steps) == (False, 0)
    assert result.best is not None
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    indices = divide(IMAGES.y, spec.split, spec.seed)[0].validation
    predicted = np.asarray(model(IMAGES.x[indices])).argmax(axis=1)
    accuracy = (predicted == IMAGES.y[indices]).mean()
    assert accuracy == pytest.approx(result.best.metrics["val_accuracy"])


def test_without_test_share_there_is_no_test_score(tmp_path: Path) -> None:
    done = _finish(tmp_path, _spec(split={"test": 0.0}))
    assert (done.test, done.verified) == (None, None)
    assert done.model.prediction_seconds > 0
    assert (tmp_path / "model.keras").exists()


def test_an_interruption_ends_it(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        _finish(tmp_path, _spec(), reporter=Recorder(Interrupted()))


def test_the_same_seed_makes_the_same_model(refit: tuple[Path, Finished], tmp_path: Path) -> None:
    again = _finish(tmp_path, _spec())
    assert again.test == refit[1].test


def test_a_model_that_scores_otherwise_than_measured_is_not_published(
    refit: tuple[Path, Finished],
) -> None:
    folder, done = refit
    assert done.test is not None
    measured = {**done.test, "accuracy": done.test["accuracy"] - 0.2}
    with pytest.raises(VerificationFailed):
        finish._verify(_loaded(folder), _test_share(_spec()), measured)


def _loaded(folder: Path) -> keras.Model:
    return keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=True)


def test_it_is_told_what_the_model_costs_whoever_uses_it(refit: tuple[Path, Finished]) -> None:
    folder, done = refit
    assert done.model.bytes == (folder / "model.keras").stat().st_size
    assert done.model.parameters == _loaded(folder).count_params()
    assert 0 < done.model.prediction_seconds < 1


def test_predictions_are_timed_for_a_bounded_time(
    refit: tuple[Path, Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, shapes = _loaded(refit[0]), []
    predict = model.predict_on_batch

    def counted(image: Any) -> Any:
        shapes.append(image.shape)
        return predict(image)

    monkeypatch.setattr(model, "predict_on_batch", counted)
    finish._prediction_seconds(model, IMAGES.x[:1])
    assert shapes == [(1, 8, 8, 1)] * (finish.WARM_UP + finish.TIMED)
    shapes.clear()
    monkeypatch.setattr(finish, "TIMED_SECONDS", 1e-9)
    finish._prediction_seconds(model, IMAGES.x[:1])
    assert len(shapes) == finish.WARM_UP + 1


def _versions(done: Finished) -> Sequence[str]:
    versions: dict[str, str] = done.reproducibility["versions"]
    return list(versions)


def test_versions_name_what_was_computed_with(refit: tuple[Path, Finished]) -> None:
    assert {"python", "keras", "keras-tuner", "numpy"} <= set(_versions(refit[1]))
