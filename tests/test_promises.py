"""Promises that files outside the code make."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.datasets import BUILTINS
from schemas.estimates import estimate
from schemas.settings import table
from schemas.specs import load_spec
from service.cli import main

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_fits_its_data_set(file: Path) -> None:
    spec = load_spec(json.loads(file.read_text()))
    assert estimate(spec, BUILTINS[spec.dataset], 10**8).trials == spec.budget.max_trials


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_compose_sets_only_settings_that_there_are() -> None:
    known = {name for name, _, _ in table()}
    for part in COMPOSE["services"].values():
        given = part.get("environment") or {}
        assert {name for name in given if name.startswith("TUNESERVE_")} <= known


def test_compose_starts_only_commands_that_there_are() -> None:
    started = [part["command"] for part in COMPOSE["services"].values() if "build" in part]
    assert len(started) == 4
    for command in started:
        if command[0] == "tuneserve-server":
            assert command[1] in main.commands
        else:
            assert command[:3] == ["python", "-m", "tasks.worker"]


def test_compose_builds_only_targets_that_there_are() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, re.MULTILINE))
    wanted = {part["build"]["target"] for part in COMPOSE["services"].values() if "build" in part}
    assert wanted <= targets


def test_the_images_copy_only_what_there_is_and_what_is_sent() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for source in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path
            assert path.split("/")[0] in sent, path


def test_no_file_names_where_packages_come_from() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    hosts = re.compile(
        "|".join(["pypi" + r"\.org", "python" + "hosted", "npmjs" + r"\.", "debian" + r"\.org"])
    )
    assert files
    assert [name for name in files if hosts.search((ROOT / name).read_text(errors="ignore"))] == []


def test_requirements_are_names_versions_and_hashes() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        for line in file.read_text().splitlines():
            assert re.match(r"(#|    --hash=sha256:[0-9a-f]{64}|[a-z0-9._-]+(\[[a-z,]+\])?==\S+)", line), line


def test_readme_names_only_folders_that_there_are() -> None:
    tree = re.search(r"## The tree\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree is not None
    for line in tree[1].splitlines():
        assert (ROOT / line.split("/")[0]).is_dir(), line
