"""`tuneserve init`: a spec to start from, with every field that could be set as a comment."""

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from tuneserve.cli.context import GivenPath, Output, pass_output
from tuneserve.cli.faults import check_offline, job_schema, resolved
from tuneserve.cli.refusals import Refused

FILE = Path("tuneserve.yaml")

Section = dict[str, Any]


def _open(kind: str, **fields: Any) -> Section:
    return {"type": kind, **fields}


def _choice(*values: Any) -> Section:
    return {"type": "choice", "values": list(values)}


_LARGE = {"image_size": 32}
_RATE = _open("float", min=1e-4, max=1e-2, sampling="log")

FAMILIES: dict[str, dict[str, Section]] = {
    "cnn": {
        "model": {"blocks": 2, "filters": _choice(16, 32, 64), "dropout": _open("float", min=0.0, max=0.5)},
    },
    "layers": {
        "model": {
            "layers": [
                {"type": "Conv2D", "filters": _choice(16, 32, 64), "kernel_size": 3, "activation": "relu"},
                {"type": "MaxPooling2D"},
                {"type": "Flatten"},
                {"type": "Dense", "units": _open("int", min=32, max=128, step=32), "activation": "relu"},
                {"type": "Dropout", "rate": _open("float", min=0.0, max=0.5)},
            ],
        },
    },
    "resnet": {
        "preprocessing": _LARGE,
        "model": {"version": _choice("v1", "v2"), "conv3_depth": 4, "conv4_depth": 6},
    },
    "xception": {
        "preprocessing": _LARGE,
        "model": {"sep_num_filters": _choice(64, 128, 256), "num_residual_blocks": 2, "initial_strides": 1},
    },
    "efficientnet": {
        "preprocessing": {**_LARGE, "color": "rgb"},
        "model": {"version": "B0", "resize": False, "top_dropout_rate": _open("float", min=0.1, max=0.5)},
    },
    "transfer": {
        "preprocessing": {"scaling": "unit", "image_size": 96, "color": "rgb"},
        "model": {
            "backbone": "mobilenet_v2",
            "weights": "imagenet",
            "dropout": _open("float", min=0.0, max=0.5),
            "frozen_epochs": 5,
            "fine_tune_learning_rate": _open("float", min=1e-5, max=1e-3, sampling="log"),
        },
    },
    "vit": {
        "model": {"patch_size": 2, "width": _choice(32, 64), "depth": _open("int", min=2, max=6), "heads": 4}
    },
    "mlp": {
        "model": {
            "layers": _open("int", min=1, max=3),
            "units": _choice(64, 128, 256),
            "dropout": _open("float", min=0.0, max=0.5),
        },
    },
}
"""What each family's spec has of its own."""

_HEAD = """\
# A job for Tuneserve: a training recipe in which values may be left open for the search.
#
#   a fixed value:  learning_rate: 0.001
#   left open:      learning_rate: {type: float, min: 0.0001, max: 0.1, sampling: log}
#   also:           filters: {type: choice, values: [16, 32, 64]}, and the types int and boolean
#
# Lines that begin with '##' explain; a name behind one '#' has the value that is shown, unless you set it.
#
#   tuneserve validate FILE   checks this file and tells the price
#   tuneserve submit FILE     makes a job of it
"""


@click.command()
@click.option(
    "--family", type=click.Choice(list(FAMILIES)), default="cnn", show_default=True, help="Kind of model."
)
@click.option(
    "--dataset",
    default="builtin:digits",
    show_default=True,
    metavar="ID",
    help="Data set: ds_... or builtin:...",
)
@click.option(
    "-o",
    "--output",
    "path",
    type=GivenPath(path_type=Path, dir_okay=False, allow_dash=True),
    default=FILE,
    show_default=True,
    help="File; one that ends in .json has no comments; - is stdout.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@pass_output
def init(out: Output, family: str, dataset: str, path: Path, force: bool) -> None:
    """Write a spec to start from, with comments that say what else can be set."""
    if path.suffix.lower() == ".toml":
        raise click.UsageError("init writes YAML or JSON; `validate` and `submit` read TOML too.")
    spec = spec_of(family, dataset)
    if faults := check_offline(spec):
        raise Refused(f"{faults[0].pointer.strip('/')}: {faults[0].detail}")
    written = (
        json.dumps(spec, indent=2) + "\n"
        if path.suffix.lower() == ".json" or out.as_json
        else commented(spec, path)
    )
    if str(path) == "-":
        sys.stdout.write(written)
        return
    _write(path, written, force)
    out.note(f"Wrote {path}. Next: tuneserve validate {path}")


def _write(path: Path, written: str, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(written)
    except FileExistsError:
        raise Refused(f"{path} is there already; --force writes over it.") from None


def spec_of(family: str, dataset: str) -> dict[str, Any]:
    """A small valid spec for a family: a search of a few minutes."""
    own = FAMILIES[family]
    return {
        "name": f"{family} on {dataset}",
        "dataset": dataset,
        "split": {"validation": 0.2, "test": 0.1},
        "preprocessing": {"scaling": "unit", **own.get("preprocessing", {})},
        "model": {"family": family, **own["model"]},
        "training": {
            "optimizer": "adam",
            "learning_rate": _RATE,
            "batch_size": _choice(32, 64, 128),
            "epochs": 20,
            "early_stopping": {"patience": 5},
        },
        "search": {"algorithm": "bayesian"},
        "objective": {"metric": "val_accuracy"},
        "budget": {"max_trials": 20, "max_seconds": 3600},
    }


def commented(spec: Mapping[str, Any], path: Path = FILE) -> str:
    """The spec as YAML, each field with what the schema says of it, and the others as comments."""
    name = path.name if str(path) != "-" else "FILE"
    return "\n".join([_HEAD.replace("FILE", name), *_lines(spec, job_schema(), "")]) + "\n"


def _lines(values: Mapping[str, Any], schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    """The fields that are set, then those that could be."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    for name, value in values.items():
        field = properties.get(name, {})
        inner = _branch(field, value)
        if not indent and isinstance(value, dict):
            yield ""
            yield f"{name}:"
            yield from _lines(value, inner, "  ")
        elif isinstance(value, list):
            yield from _described(field, indent)
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {flow(one)}" for one in value)
        else:
            yield from _described(field, indent)
            yield f"{indent}{name}: {flow(value)}"
    if indent:
        yield from _others(values, properties, indent)


def _others(values: Mapping[str, Any], properties: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, field in properties.items():
        if name not in values and "default" in field:
            yield from _described(field, indent)
            yield f"{indent}# {name}: {flow(field['default'])}"


def _described(field: Mapping[str, Any], indent: str) -> Iterator[str]:
    lead = f"{indent}## "
    told = field.get("description", "")
    yield from textwrap.wrap(told, 100, initial_indent=lead, subsequent_indent=lead)


def _branch(field: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """The schema of a section; of several, the one that its `family` or `algorithm` names."""
    found = resolved(field)
    told = found.get("discriminator")
    if not told:
        return found
    return resolved({"$ref": told["mapping"][value[told["propertyName"]]]})


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?: [A-Za-z0-9_]+)*")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def flow(value: Any) -> str:
    """A value in one line of YAML; texts in quotes unless they are plain words."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)
