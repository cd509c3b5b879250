"""The command line as a process: exit codes, pipes, signals, terminals, what is imported."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sdk_server import Answer, Server, Stream

COMMAND = [sys.executable, "-m", "tuneserve.cli"]


@pytest.fixture
def environment(server: Server, tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    connection = {"TUNESERVE_URL": server.url, "TUNESERVE_API_KEY": "tns_k_s"}
    return {
        **kept,
        **connection,
        "XDG_CONFIG_HOME": str(tmp_path),
        "TERM": "xterm-256color",
        "COLUMNS": "100",
    }


def run(environment: dict[str, str], *args: str, **named: Any) -> subprocess.CompletedProcess[str]:
    named = {"encoding": "utf-8", **named}
    return subprocess.run(
        [*COMMAND, *args], env=environment, capture_output=True, timeout=30, check=False, **named
    )


def event(kind: str, id: int | None, **data: Any) -> bytes:
    line = "" if id is None else f"id: {id}\n"
    return f"event: {kind}\n{line}data: {json.dumps(data)}\n\n".encode()


def test_help_is_quick_and_imports_nothing_heavy(environment: dict[str, str]) -> None:
    script = (
        "import sys, time; start = time.process_time()\n"
        "from tuneserve.cli.program import program\n"
        "program(['--help'], standalone_mode=False)\n"
        "print(time.process_time() - start, file=sys.stderr)\n"
        "heavy = ('rich', 'jsonschema', 'ruamel.yaml', 'numpy')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    seconds, imported = told.stderr.splitlines()
    assert imported == "[]"
    # Half a second is the promise; of the processor's time, for the machine may be busy.
    assert float(seconds) < 0.5


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra_it_says_how_to_get_it(
    package: str, environment: dict[str, str], tmp_path: Path, server: Server, job: Any
) -> None:
    server.on("GET /v1/jobs/job_1", Answer(200, job()))
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n",
        encoding="utf-8",
    )
    shown = {**environment, "PYTHONPATH": str(tmp_path)}
    told = in_terminal(shown, "watch", "job_1") if package == "rich" else run(shown, "--help")
    output = told[1] if isinstance(told, tuple) else told.stderr
    assert (told[0] if isinstance(told, tuple) else told.returncode) == 2
    assert "pip install click jsonschema rich ruamel.yaml" in output
    assert "Traceback" not in output


def test_a_reader_that_leaves_is_no_trouble(environment: dict[str, str], server: Server, job: Any) -> None:
    server.on("GET /v1/jobs", Answer(200, {"items": [job()] * 5000, "next_page_token": None}))
    process = subprocess.Popen(
        [*COMMAND, "list", "--limit", "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b"job_1\t")
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141


def test_interrupted_while_waiting_the_job_goes_on(
    environment: dict[str, str], server: Server, job: Any
) -> None:
    waiting = threading.Event()
    server.on("GET /v1/jobs/job_1", Answer(200, job("running")))
    server.on("GET /v1/jobs/job_1/events", Stream([event("trial", 1, number=0, state="running"), waiting]))
    process = subprocess.Popen(
        [*COMMAND, "watch", "job_1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().strip() == "trial 0  running"
    process.send_signal(signal.SIGINT)
    output, told = process.communicate(timeout=30)
    waiting.set()
    assert (process.returncode, output) == (130, "")
    assert "job_1 goes on: `tuneserve watch job_1` comes back, `tuneserve cancel job_1` ends it." in told
    assert "Traceback" not in told
    assert not [one for one in server.asked if one.method == "POST"]


def test_a_download_that_is_terminated_leaves_nothing(
    environment: dict[str, str], server: Server, job: Any, tmp_path: Path
) -> None:
    waiting = threading.Event()
    artifact = {"name": "model.keras", "bytes": 5, "sha256": "00"}
    server.on("GET /v1/jobs/job_1", Answer(200, job("succeeded")))
    server.on("GET /v1/jobs/job_1/artifacts", Answer(200, {"items": [artifact]}))
    server.on("GET /v1/jobs/job_1/artifacts/model.keras", Stream([b"he", waiting], headers={"ETag": '"m"'}))
    folder = tmp_path / "out"
    process = subprocess.Popen([*COMMAND, "download", "job_1", "-o", folder], env=environment, stderr=-1)
    until = time.monotonic() + 30
    while not list(folder.glob(".model.keras.*.part")):
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=30)[1]
    waiting.set()
    assert (process.returncode, told) == (130, b"\nInterrupted.\n")
    assert list(folder.iterdir()) == []


def test_text_that_the_encoding_lacks_is_escaped(
    environment: dict[str, str], server: Server, job: Any
) -> None:
    server.on("GET /v1/jobs/job_1", Answer(200, job(name="ü字")))
    told = run({**environment, "PYTHONIOENCODING": "latin-1"}, "status", "job_1", encoding="latin-1")
    assert (told.returncode, told.stderr) == (0, "")
    assert r"ü\u5b57" in told.stdout


def test_a_spec_on_stdin(environment: dict[str, str], server: Server, job: Any) -> None:
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    told = run(environment, "submit", "-", input="seed: 3")
    assert (told.returncode, told.stdout) == (0, "job_1\n")
    assert server.asked[0].json() == {"seed": 3}


@contextmanager
def terminal(environment: dict[str, str], *args: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command with a terminal of 100 columns for its stdout and stderr."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen([*COMMAND, *args], env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(descriptor: int, wanted: str | None, seconds: float = 30) -> str:
    """What the terminal got, up to a text, or to the end of the program."""
    content, until = b"", time.monotonic() + seconds
    while time.monotonic() < until:
        if not select.select([descriptor], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # How Linux tells that the other side is closed.
            piece = b""
        content += piece
        if not piece or (wanted and wanted in content.decode(errors="replace")):
            return content.decode(errors="replace")
    pytest.fail(f"not within {seconds} s: {wanted!r} in {content!r}")


def in_terminal(environment: dict[str, str], *args: str) -> tuple[int, str]:
    with terminal(environment, *args) as (process, ours):
        output = read_until(ours, None)
        return process.wait(30), output


def test_the_live_table_draws_and_moves(environment: dict[str, str], server: Server, job: Any) -> None:
    went_on = threading.Event()
    metrics = [{"val_accuracy": value, "loss": 1.0} for value in (0.1, 0.5, 0.9)]
    first = [
        event(
            "trial",
            None,
            number=0,
            state="running",
            hyperparameters={"model.\x1b]0;owned\x07": 1, "a.rate": 0.25},
        ),
        event("epoch", None, trial=0, fold=1, epoch=1, metrics=metrics[0]),
        event(
            "progress", 2, state="running", progress={"max_trials": 10, "running": 1}, best=None, revision=2
        ),
    ]
    then = [
        event("epoch", None, trial=0, fold=1, epoch=2, metrics=metrics[1]),
        event("epoch", None, trial=0, fold=1, epoch=3, metrics=metrics[2]),
        event("trial", None, number=0, state="completed", score=0.9),
        event("progress", 3, state="running", progress={"max_trials": 10, "completed": 1},
              best={"trial": 0, "score": 0.9}, revision=3),
        event("end", None, state="succeeded", stop_reason="completed"),
    ]  # fmt: skip
    server.on("GET /v1/jobs/job_1", Answer(200, job("queued")), Answer(200, job("succeeded")))
    server.on("GET /v1/jobs/job_1/events", Stream([b"".join(first), went_on, b"".join(then)]))
    with terminal(environment, "watch", "job_1") as (process, ours):
        before = read_until(ours, "rate=0.25")
        went_on.set()
        after = read_until(ours, None)
        assert process.wait(30) == 0
    assert "letters  running  0/10 trials" in _plain(before)
    assert re.search(r"0 +running +▅ ", _plain(before))
    assert re.search(r"0\* +completed +0\.9 +▁▅█ ", _plain(after))
    assert "1/10 trials  best 0.9 (trial 0)" in _plain(after)
    assert "letters  succeeded  1/10 trials" in _plain(after)
    assert "job_1 succeeded" not in _plain(after)
    assert "owned\x07" not in before + after
    assert "\x1b[" in before  # it moved, or it would not be live


def test_interrupted_the_terminal_is_left_in_order(
    environment: dict[str, str], server: Server, job: Any
) -> None:
    waiting = threading.Event()
    server.on("GET /v1/jobs/job_1", Answer(200, job("running")))
    server.on("GET /v1/jobs/job_1/events", Stream([event("trial", 1, number=0, state="running"), waiting]))
    with terminal(environment, "watch", "job_1") as (process, ours):
        read_until(ours, "7/10 trials")
        process.send_signal(signal.SIGINT)
        output = read_until(ours, None)
        assert process.wait(30) == 130
    waiting.set()
    assert "job_1 goes on: `tuneserve watch job_1` comes back" in output
    # The cursor, which a live display hides, is back.
    assert output.rindex("\x1b[?25h") > output.find("\x1b[?25l")


def test_no_colour_and_nothing_that_moves_in_ci(
    environment: dict[str, str], server: Server, job: Any
) -> None:
    server.on("GET /v1/jobs/job_1", Answer(200, job("succeeded")))
    server.on("GET /v1/jobs", Answer(200, {"items": [job()], "next_page_token": None}))
    server.on("GET /v1/jobs/job_1/events", Stream([event("end", 1, state="succeeded", stop_reason=None)]))
    for variable, command in (("CI", ["watch", "job_1"]), ("NO_COLOR", ["list"])):
        code, output = in_terminal({**environment, variable: "1"}, *command)
        assert code == 0
        assert "\x1b" not in output
    code, output = in_terminal(environment, "list")
    assert "\x1b[1m" in output
    assert re.search(r"id +name +state", _plain(output))


def _plain(output: str) -> str:
    """Without the sequences that move the cursor and colour the text."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)


def test_the_end_is_told_once_on_a_terminal(
    environment: dict[str, str], server: Server, job: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text("seed: 3\n", encoding="utf-8")
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    server.on("GET /v1/jobs/job_1", Answer(200, job("succeeded")))
    code, output = in_terminal(environment, "submit", str(tmp_path / "a.yaml"), "--wait")
    assert (code, output.count("succeeded")) == (0, 1)
