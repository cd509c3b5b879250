"""Starts processes, keeps them running, stops them all."""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

_LOG_BYTES, _LOG_FILES = 10 * 2**20, 3
# A part that dies again and again is started again more and more slowly.
_FIRST_PAUSE, _LONGEST_PAUSE, _CALM_SECONDS = 0.5, 30.0, 60.0
_PR_SET_PDEATHSIG = 1
_LOUD = ("warning", "error", "critical")


@dataclass
class Part:
    """One process that should always run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    pass_fds: Sequence[int] = ()
    grace_seconds: float = 10.0
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    due: float = 0.0
    reader: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(self.pass_fds),
            # Ctrl-C reaches the whole group of the terminal; parts are to be stopped in order.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        assert self.process.stdout is not None
        self.reader = threading.Thread(
            target=_follow, args=(self.name, self.process.stdout, self.log), daemon=True
        )
        self.reader.start()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def revive(self) -> None:
        """Starts the part again if it has died and its pause is over."""
        if self.is_running() or self.process is None:
            return
        now = time.monotonic()
        if not self.due:
            self.pause = _FIRST_PAUSE if now - self.started > _CALM_SECONDS else self.pause
            self.due = now + self.pause
            self.pause = min(self.pause * 2, _LONGEST_PAUSE)
            say(f"{self.name} has ended (exit code {self.process.returncode}); starting it again")
        elif now >= self.due:
            self.due = 0.0
            self.start()

    def tell_to_stop(self) -> None:
        if self.is_running() and self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Waits for the end that was asked for; what is left of the part's group is killed."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.grace_seconds)
        self.kill()
        if self.reader is not None:
            self.reader.join(1.0)

    def kill(self) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Supervisor:
    """Parts in the order in which they are started; they are stopped the other way round."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.stopping = threading.Event()

    def start(self, part: Part) -> None:
        part.start()
        self.parts.append(part)

    def watch_signals(self) -> None:
        """The first SIGINT or SIGTERM stops all parts, the second kills them."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        if self.stopping.is_set():
            for part in self.parts:
                part.kill()
        self.stopping.set()

    def look(self) -> None:
        """One look at all parts."""
        for part in self.parts:
            part.revive()

    def stop(self) -> None:
        for part in reversed(self.parts):
            part.tell_to_stop()
            part.stop()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _die_with_parent() -> None:
    """A part must not outlive a supervisor that was killed: it would hold the data folder."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _follow(name: str, stream: IO[bytes], log: Path) -> None:
    """Writes a part's output to its file, and its warnings to the screen."""
    handler = RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
    with stream:
        for line in stream:
            text = line.decode(errors="replace").rstrip("\n")
            handler.emit(logging.makeLogRecord({"msg": text}))
            if (loud := _warning(text)) is not None:
                say(f"[{name}] {loud}")
    handler.close()


def _warning(line: str) -> str | None:
    """What a line of a part's log says to a person, if it is a warning or worse."""
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if event.get("level") not in _LOUD:
        return None
    details = {key: event[key] for key in ("job", "trial", "error") if event.get(key) is not None}
    shown = " ".join(f"{key}={str(value)[:200]}" for key, value in details.items())
    return f"{event['level']}: {str(event.get('event'))[:300]} {shown}".rstrip()
