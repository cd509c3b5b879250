"""The recipes for CI services: checked by the linters of their formats, and run as far as the command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tuneserve.cli.run import run

CI = Path(__file__).parents[1] / "deploy" / "ci"
BIN = Path(sys.executable).parent
ACTION = CI / "github" / "action.yml"
WORKFLOW = CI / "github" / "example-workflow.yml"
GITLAB = CI / "gitlab" / "tuneserve.gitlab-ci.yml"
SCRIPT = CI / "shell" / "tuned-model.sh"

RECORDER = """#!/bin/sh
for argument; do printf '%s\\0' "$argument"; done >"$RECORDED"
exit 3
"""

GIVEN = {
    "TUNE_SPEC": "specs/my model.yaml",
    "TUNE_SET": "training.epochs=5\n  name='quoted $(touch pwned)'  \n\n",
    "TUNE_LABEL": 'commit=a"b`touch pwned`',
    "TUNE_MIN": "val_accuracy=0.97\ntest_accuracy=0.9",
    "TUNE_MAX": "parameters=2e6",
    "TUNE_DATASET": "images; touch pwned",
    "TUNE_BASELINE": "job_1",
    "TUNE_TOLERANCE": "0.005",
    "TUNE_TIMEOUT": "2h",
    "TUNE_IDEMPOTENCY_KEY": "build 7",
    "TUNE_JUNIT": "report.xml",
    "TUNE_SUMMARY": "summary.md",
    "TUNE_OUTPUT": "model",
    "TUNE_REUSE": "true",
    "TUNE_CANCEL_ON_INTERRUPT": "true",
    "TUNE_CANCEL_ON_TIMEOUT": "true",
    "TUNE_DRY_RUN": "true",
}


def loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def gitlab_script() -> str:
    return str(loaded(GITLAB)[".tuned-model"]["script"][1])


def gitlab_install() -> str:
    return str(loaded(GITLAB)[".tuned-model"]["script"][0])


@pytest.fixture
def arguments(tmp_path: Path) -> Any:
    """Runs a script with variables, and gives the arguments that the command was called with."""
    recorder = tmp_path / "tuneserve"
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)

    def of(script: str, variables: dict[str, str]) -> list[str]:
        recorded = tmp_path / "recorded"
        environment = {"PATH": os.environ["PATH"], "TUNESERVE": str(recorder), "RECORDED": str(recorded)}
        done = subprocess.run(
            ["sh", "-c", script], env={**environment, **variables}, cwd=tmp_path, check=False
        )
        # Whatever the command ends with is what the pipeline sees.
        assert done.returncode == 3
        assert not (tmp_path / "pwned").exists()
        return recorded.read_text().split("\0")[:-1]

    return of


@pytest.mark.parametrize(
    ("schema", "file"),
    [("github-actions", ACTION), ("github-workflows", WORKFLOW), ("gitlab-ci", GITLAB)],
    ids=lambda one: one.name if isinstance(one, Path) else one,
)
def test_the_services_take_their_files(schema: str, file: Path) -> None:
    # Schemas that the linter brings along: nothing is fetched.
    command = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_script_is_sound(tmp_path: Path) -> None:
    files = [SCRIPT, CI.parents[1] / "client" / "tests" / "exit_codes.sh"]
    scripts = {"gitlab": ("sh", gitlab_script()), "gitlab-install": ("sh", gitlab_install())}
    for number, step in enumerate(loaded(ACTION)["runs"]["steps"]):
        scripts[f"action-{number}"] = ("bash", step["run"])
    for name, (shell, content) in scripts.items():
        file = tmp_path / f"{name}.sh"
        file.write_text(f"#!/bin/{shell}\n{content}")
        files.append(file)
    done = subprocess.run([BIN / "shellcheck", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("source", ["shell", "gitlab"])
def test_every_variable_becomes_an_option(arguments: Any, source: str) -> None:
    script = SCRIPT.read_text() if source == "shell" else gitlab_script()
    given = arguments(script, GIVEN)
    assert given[0] == "run"
    # The command itself reads them: each option is one that it has.
    context = run.make_context("run", given[1:], resilient_parsing=False)
    read = context.params
    assert str(read["path"]) == "specs/my model.yaml"
    assert read["sets"] == ("training.epochs=5", "name='quoted $(touch pwned)'")
    assert read["labels"] == ('commit=a"b`touch pwned`',)
    assert (read["mins"], read["maxs"]) == (("val_accuracy=0.97", "test_accuracy=0.9"), ("parameters=2e6",))
    assert (read["dataset"], read["baseline"], read["timeout"]) == ("images; touch pwned", "job_1", 7200.0)
    assert (read["tolerance"], read["idempotency_key"]) == (0.005, "build 7")
    assert [str(read[name]) for name in ("junit", "summary", "folder")] == [
        "report.xml",
        "summary.md",
        "model",
    ]
    assert all(read[name] for name in ("reuse", "cancel_on_interrupt", "cancel_on_timeout", "dry_run"))
    assert set(read) == {parameter.name for parameter in run.params if parameter.expose_value}


@pytest.mark.parametrize("source", ["shell", "gitlab"])
def test_what_is_not_set_is_not_given(arguments: Any, source: str) -> None:
    script = SCRIPT.read_text() if source == "shell" else gitlab_script()
    nothing = dict.fromkeys(GIVEN, "") | {"TUNE_REUSE": "false", "TUNE_SPEC": "-odd.yaml"}
    assert arguments(script, nothing) == ["run", "--", "-odd.yaml"]
    assert arguments(script, {"TUNE_SPEC": "a.yaml"}) == ["run", "--", "a.yaml"]


def test_the_result_goes_to_a_file_where_one_is_named(arguments: Any, tmp_path: Path) -> None:
    variables = {"TUNE_SPEC": "a.yaml", "TUNE_JSON": "result.json"}
    assert arguments(SCRIPT.read_text(), variables) == ["run", "--json", "--", "a.yaml"]
    assert (tmp_path / "result.json").exists()


def test_inputs_never_become_code() -> None:
    """An expression within a script is pasted into it before a shell reads it."""
    for step in loaded(ACTION)["runs"]["steps"]:
        assert "${{" not in step["run"], step["name"]
    steps = [step for job in loaded(WORKFLOW)["jobs"].values() for step in job["steps"]]
    assert not [step for step in steps if "${{" in step.get("run", "")]


def test_every_input_is_used_and_described_by_the_page() -> None:
    inputs = loaded(ACTION)["inputs"]
    page = (CI.parents[1] / "docs" / "ci.md").read_text()
    assert [name for name in inputs if f"`{name}`" not in page] == []
    used = set(re.findall(r"\$\{\{ inputs\.([a-z-]+) \}\}", ACTION.read_text()))
    assert used == set(inputs)
    workflow = [step for step in loaded(WORKFLOW)["jobs"]["model"]["steps"] if step.get("id") == "model"]
    assert set(workflow[0]["with"]) <= set(inputs)
    variables = loaded(GITLAB)[".tuned-model"]["variables"]
    assert set(GIVEN) - set(variables) == {"TUNE_SPEC"}


def test_the_artifacts_of_gitlab_are_the_files_that_are_written() -> None:
    """The runner puts variables into paths and reports (docs.gitlab.com, "Where variables can be used")."""
    job = loaded(GITLAB)[".tuned-model"]
    artifacts, names = job["artifacts"], job["variables"]
    assert artifacts["paths"] == ["$TUNE_OUTPUT/", "$TUNE_SUMMARY"]
    assert artifacts["reports"] == {"junit": "$TUNE_JUNIT"}
    # An empty path would be the whole folder.
    assert all(names[name] for name in ("TUNE_OUTPUT", "TUNE_SUMMARY", "TUNE_JUNIT"))


@pytest.mark.parametrize("source", ["github", "gitlab"])
def test_nothing_is_installed_by_a_name_that_anybody_could_take(source: str, tmp_path: Path) -> None:
    """The package is on no public index: without a word of where it comes from, the job ends at once."""
    assert "default" not in loaded(ACTION)["inputs"]["package"]
    assert "TUNE_PACKAGE" not in loaded(GITLAB)[".tuned-model"]["variables"]
    install = loaded(ACTION)["runs"]["steps"][0]["run"] if source == "github" else gitlab_install()
    environment = {"PATH": "", "RUNNER_TEMP": str(tmp_path), "PACKAGE": "", "TUNE_PACKAGE": ""}
    command = ["/bin/sh", "-ec", install]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "must say what pip installs, see docs/ci.md" in done.stderr


def test_only_official_actions_are_used_at_a_version() -> None:
    found = re.findall(r"uses: (\S+)", WORKFLOW.read_text() + ACTION.read_text())
    assert found
    assert [one for one in found if not re.fullmatch(r"\./deploy/ci/github|actions/[a-z-]+@v\d+", one)] == []


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        (
            {
                "verdict": "met",
                "exit_code": 0,
                "job": {"id": "job_1"},
                "reused": True,
                "best": {"score": 0.98},
                "artifacts": ["a b/model.keras", "a b/best.json"],
            },
            ["verdict=met", "exit-code=0", "job=job_1", "reused=true", "score=0.98", "model=a b/model.keras"],
        ),
        (
            {
                "verdict": "key\nx=y",
                "exit_code": 4,
                "job": None,
                "reused": False,
                "best": None,
                "artifacts": [],
            },
            ["verdict=key x=y", "exit-code=4", "job=", "reused=false", "score=", "model="],
        ),
        (None, []),
    ],
)
def test_outputs_of_the_action(tmp_path: Path, document: Any, lines: list[str]) -> None:
    file = tmp_path / "tuneserve.json"
    if document is not None:
        file.write_text(json.dumps(document))
    command = [sys.executable, CI / "github" / "outputs.py", file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == lines
    assert {line.partition("=")[0] for line in lines} <= set(loaded(ACTION)["outputs"])


def test_the_command_is_the_one_that_is_tested() -> None:
    assert isinstance(run, click.Command)
    assert run.name == "run"
