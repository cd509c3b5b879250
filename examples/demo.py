"""From nothing to a tuned model: starts the service in a temporary folder, tunes, shows what came out."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuneserve import Client, Job, Trial

SPEC = Path(__file__).parent / "digits-random.json"
START_SECONDS = 90
JOB_SECONDS = 600


def main() -> int:
    began = time.monotonic()
    output = Path(tempfile.mkdtemp(prefix="tuneserve-demo-"))
    with service() as (url, key), Client(url, key) as client:
        print(f"\nPosting {SPEC.name} to {url} ...", flush=True)
        job = client.jobs.create(json.loads(SPEC.read_text()))
        job.wait(timeout=JOB_SECONDS, progress=True)
        show(job)
        print(f"Model: {job.download_model(output)}")
    print(f"Done in {time.monotonic() - began:.0f} s.")
    return 0


@contextmanager
def service() -> Iterator[tuple[str, str]]:
    """A whole service of its own; gives its URL and an admin key."""
    folder = Path(tempfile.mkdtemp(prefix="tuneserve-data-"))
    command = [Path(sys.executable).parent / "tuneserve-server", "up", "--data", folder, "--port", "0"]
    # The demo shows the embedded default, whatever is set outside.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNESERVE_")}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield until_ready(process), (folder / "admin.key").read_text().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def until_ready(process: "subprocess.Popen[str]") -> str:
    """Passes on what the service says until it says that it is ready; gives its address."""
    assert process.stderr is not None
    url, until = "", time.monotonic() + START_SECONDS
    for line in process.stderr:
        print(line, end="", flush=True)
        if found := re.search(r"listens on (\S+)", line):
            url = found[1]
        if line.startswith("Ready") or time.monotonic() > until:
            break
    if not line.startswith("Ready"):
        raise SystemExit("The service did not start.")
    return url


def show(job: Job) -> None:
    print(f"\n{'trial':>5}  {'state':<10} {'score':>7}  {'epoch':>5}  hyperparameters")
    for trial in job.trials():
        print(row(trial))
    best = job.best_result()
    print(f"\nBest: trial {best.trial}, epoch {best.epoch}")
    for name, value in best.hyperparameters.items():
        print(f"  {name} = {short(value)}")
    print(f"Validation accuracy: {best.validation['accuracy']:.4f}")
    assert best.test is not None
    assert best.verified is not None
    print(f"Test accuracy:       {best.test['accuracy']:.4f} (images that no trial saw)")
    print(f"Loaded again:        {best.verified['accuracy']:.4f} (model.keras, evaluated once more)")


def row(trial: Trial) -> str:
    score = "-" if trial.score is None else f"{trial.score:.4f}"
    epoch = "-" if trial.best_epoch is None else str(trial.best_epoch)
    values = " ".join(f"{name.split('.')[-1]}={short(v)}" for name, v in trial.hyperparameters.items())
    return f"{trial.number:>5}  {trial.state:<10} {score:>7}  {epoch:>5}  {values}"


def short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
