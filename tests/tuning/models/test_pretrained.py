"""Weights from ImageNet, with real files and a network that is out of reach."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tuning.models.materials import Materials, WeightsUnavailable
from tuning.models.pretrained import pretrained

SHAPE = (32, 32, 3)
OWN_NAME = "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"

# Keras reads KERAS_HOME when it is imported, and proxies when it first opens a URL: a process of its own. It
# says when it is ready, answers a line of JSON for each application, and then once more with the first one's
# file cut off in its middle.
_CHILD = """
import json, sys, time
from pathlib import Path
import keras
from tuning.models.materials import Materials, WeightsUnavailable
from tuning.models.pretrained import pretrained

def attempt(application):
    def make(weights):
        return getattr(keras.applications, application)(
            weights=weights, include_top=False, input_shape=(32, 32, 3)
        )
    start = time.monotonic()
    try:
        net = pretrained(application, Materials(), make)
        answer = {"sum": sum(float(abs(one).sum()) for one in net.get_weights())}
    except WeightsUnavailable as error:
        answer = {"text": str(error)}
    return {**answer, "seconds": time.monotonic() - start}

file = Path(sys.argv[1])
print("ready", flush=True)
for application in sys.argv[2:]:
    print("answer", json.dumps(attempt(application)), flush=True)
file.write_bytes(file.read_bytes()[:100_000])
print("answer", json.dumps({**attempt(sys.argv[2]), "left": file.exists()}), flush=True)
"""

# Application -> how Keras names the file that it would download.
DOWNLOADS = {
    "MobileNetV2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    "MobileNet": "mobilenet_1_0_224_tf_no_top.h5",
    "MobileNetV3Small": OWN_NAME,
    "VGG16": "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "EfficientNetB0": "efficientnetb0_notop.h5",
    "EfficientNetV2B0": "efficientnetv2-b0_notop.h5",
}


def _make(weights: str | None) -> keras.Model:
    return keras.applications.MobileNetV3Small(weights=weights, include_top=False, input_shape=SHAPE)


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    keras.utils.set_random_seed(1)
    return _make(None)


def _save(net: keras.Model, file: Path) -> None:
    """In Keras' present format, or in that of the files that it downloads."""
    if file.name.endswith(".weights.h5"):
        net.save_weights(file)
    else:
        net.save(file)


class TestOperatorsFolder:
    @pytest.mark.parametrize("name", [OWN_NAME, "mobilenet_v3_small.weights.h5", "mobilenet_v3_small.h5"])
    def test_a_file_in_it_is_taken(self, trained: keras.Model, tmp_path: Path, name: str) -> None:
        _save(trained, tmp_path / name)
        (tmp_path / "mobilenet_v3_large.weights.h5").write_bytes(b"another's")
        made = pretrained("MobileNetV3Small", Materials(weights_folder=tmp_path), _make)
        for own, loaded in zip(trained.get_weights(), made.get_weights(), strict=True):
            np.testing.assert_array_equal(own, loaded)

    def test_one_that_cannot_be_read_is_told_of(self, tmp_path: Path) -> None:
        (tmp_path / "mobilenet_v3_small.weights.h5").write_bytes(b"no weights")
        with pytest.raises(WeightsUnavailable) as caught:
            pretrained("MobileNetV3Small", Materials(weights_folder=tmp_path), _make)
        assert "MobileNetV3Small cannot be read from mobilenet_v3_small.weights.h5" in str(caught.value)
        assert str(tmp_path) not in str(caught.value)

    def test_one_of_another_net_is_told_of(self, tmp_path: Path) -> None:
        other = keras.applications.MobileNet(weights=None, include_top=False, input_shape=SHAPE, alpha=0.25)
        _save(other, tmp_path / OWN_NAME)
        with pytest.raises(WeightsUnavailable, match="cannot be read from weights_mobilenet_v3_small"):
            pretrained("MobileNetV3Small", Materials(weights_folder=tmp_path), _make)

    def test_what_is_not_about_weights_is_not_called_so(self, trained: keras.Model, tmp_path: Path) -> None:
        _save(trained, tmp_path / "mobilenet_v3_small.weights.h5")

        def make(weights: str) -> keras.Model:
            raise MemoryError

        with pytest.raises(MemoryError):
            pretrained("MobileNetV3Small", Materials(weights_folder=tmp_path), make)


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The answers of a process that finds the first application's file half written by another.

    The other holds the lock, as a process does that downloads, and goes on writing.
    """
    home = tmp_path_factory.mktemp("keras")
    first, name = next(iter(DOWNLOADS.items()))
    file = home / "models" / name
    file.parent.mkdir()
    whole = tmp_path_factory.mktemp("whole") / name
    getattr(keras.applications, first)(weights=None, include_top=False, input_shape=SHAPE).save(whole)
    content = whole.read_bytes()
    environment = {**os.environ, "KERAS_HOME": str(home), "https_proxy": "http://127.0.0.1:9"}
    with (file.parent / "tuneserve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file.write_bytes(content[: len(content) // 2])
        command = [sys.executable, "-c", _CHILD, str(file), *DOWNLOADS]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert child.stdout
        while child.stdout.readline() != "ready\n":
            assert child.poll() is None
        time.sleep(1.0)
        file.write_bytes(content)
    lines = child.communicate(timeout=120)[0].splitlines()
    return [json.loads(line.removeprefix("answer ")) for line in lines if line.startswith("answer ")]


class TestDownload:
    def test_what_another_process_still_writes_is_waited_for(self, downloaded: list[dict[str, Any]]) -> None:
        assert downloaded[0]["sum"] > 0

    @pytest.mark.parametrize("index", range(1, len(DOWNLOADS)))
    def test_a_network_out_of_reach_is_told_of(self, downloaded: list[dict[str, Any]], index: int) -> None:
        application, name = list(DOWNLOADS.items())[index]
        text = downloaded[index]["text"]
        assert text.startswith(f"The ImageNet weights of {application} cannot be downloaded here")
        assert f"/{name}: " in text, "the name is the one that Keras asks for"
        assert f"TUNESERVE_WEIGHTS_FOLDER as {name} or " in text
        assert downloaded[index]["seconds"] < 20

    def test_a_part_that_a_killed_process_left_does_not_count(self, downloaded: list[dict[str, Any]]) -> None:
        assert "cannot be downloaded here" in downloaded[-1]["text"]
        assert downloaded[-1]["left"] is False
