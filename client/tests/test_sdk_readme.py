"""The README's promises: its Python runs from top to bottom, and it names every error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from sdk_server import Answer

import tuneserve

if TYPE_CHECKING:
    from sdk_server import Server

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_runs(server: Server, job, tmp_path: Path) -> None:
    done = Answer(200, job("succeeded"))
    best = {"trial": 5, "validation": {"accuracy": 0.98}, "test": {"accuracy": 0.97}}
    artifact = {"name": "model.keras", "sha256": sha256(b"model").hexdigest()}
    server.on("POST /v1/datasets", Answer(201, {"id": "ds_1", "samples": 200}))
    server.on("POST /v1/jobs:validate", Answer(200, {"valid": True}))
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    server.on("GET /v1/jobs", Answer(200, {"items": [job("succeeded")]}))
    server.on("GET /v1/jobs/job_1", done)
    server.on("GET /v1/jobs/job_1/best", Answer(200, best))
    server.on("GET /v1/jobs/job_1/trials", Answer(200, {"items": [{"number": 5}]}))
    server.on("GET /v1/jobs/job_1/artifacts", Answer(200, {"items": [artifact]}))
    server.on("GET /v1/jobs/job_1/artifacts/model.keras", Answer(200, b"model"))
    code = "".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    environment = {**os.environ, "TUNESERVE_URL": server.url, "TUNESERVE_API_KEY": "tns_k_s"}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (tmp_path / "models" / "model.keras").read_bytes() == b"model"


def test_every_error_is_named() -> None:
    kinds = [name for name in tuneserve.__all__ if _is_error(name)]
    assert len(kinds) > 10
    assert not [name for name in kinds if f"`{name}`" not in README]


def _is_error(name: str) -> bool:
    kind = getattr(tuneserve, name)
    return isinstance(kind, type) and issubclass(kind, tuneserve.TuneserveError)
