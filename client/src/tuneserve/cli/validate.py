"""`tuneserve validate`: what is wrong with a spec, and what it would cost."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import Output, connect, connection_options, end, output, spec_options
from tuneserve.cli.exits import Exit
from tuneserve.cli.specs import Source, SpecError, check_offline, read_source
from tuneserve.errors import FieldError, Invalid, TuneserveError

if TYPE_CHECKING:
    from tuneserve.validation import Validation


@click.command()
@spec_options
@click.option("--offline", is_flag=True, help="Ask no service: only the fields are checked.")
@click.option("--resolved", is_flag=True, help="Print the spec with every default written out.")
@connection_options
@click.pass_context
def validate(
    ctx: click.Context, path: Path | None, sets: tuple[str, ...], offline: bool, resolved: bool
) -> None:
    """Check SPEC (YAML, TOML or JSON; - is stdin) and show its price, without making a job.

    Each fault is a line: file:line:column pointer: what is wrong. Without a fault the exit code is 0, else 2.
    """
    if offline and resolved:
        raise click.UsageError("--resolved asks the service: it does not go with --offline.")
    out, source = output(ctx), read_source(path, sets)
    faults = check_offline(source.spec)
    if offline:
        _tell_offline(out, source, faults)
        return
    try:
        found = connect(ctx).jobs.validate(source.spec)
    except TuneserveError:
        # What is known without the service is said in any case, and first.
        if faults:
            _refuse(out, source, faults)
            return
        out.note("The fields fit; the rest could not be checked.")
        raise
    if not found.valid:
        _refuse(out, source, _merged(found.errors, faults))
        return
    if faults:
        out.note(
            "The service takes what this version of tuneserve does not know: it is newer, or has plugins."
        )
    _tell(out, found, resolved)


@contextmanager
def told_at(source: Source) -> Iterator[None]:
    """Errors of the service about a spec are told with the lines that they are about."""
    try:
        yield
    except Invalid as error:
        if not error.errors:
            raise
        request = f" (request {error.request_id})" if error.request_id else ""
        raise SpecError(
            "\n".join([f"the spec does not fit{request}", *lines(source, error.errors)])
        ) from None


def lines(source: Source, faults: Iterable[FieldError]) -> list[str]:
    """`file:line:column pointer: what is wrong`, one for each."""
    return [f"{source.where(one.pointer)} {one.pointer or '/'}: {one.detail or one.code}" for one in faults]


def _merged(errors: Iterable[FieldError], faults: Iterable[FieldError]) -> list[FieldError]:
    """The service's, and those of the schema at places that it says nothing of."""
    told = list(errors)
    places = {one.pointer for one in told}
    return [*told, *(one for one in faults if not any(_is_near(one.pointer, place) for place in places))]


def _is_near(pointer: str, other: str) -> bool:
    """Whether one is the other, or stands in it: `required` is told of an object, or of what it lacks."""
    return pointer == other or pointer.startswith(f"{other}/") or other.startswith(f"{pointer}/")


def _refuse(out: Output, source: Source, faults: list[FieldError]) -> None:
    if out.as_json:
        errors = [{"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in faults]
        out.data(
            {"valid": False, "spec": None, "space": None, "estimate": None, "warnings": [], "errors": errors}
        )
    else:
        for line in lines(source, faults):
            click.echo(text.shown(line), err=True)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        click.echo(f"Error: {count} in {text.shown(source.name)}", err=True)
    end(Exit.USAGE)


def _tell_offline(out: Output, source: Source, faults: list[FieldError]) -> None:
    if faults:
        _refuse(out, source, faults)
    elif out.as_json:
        nothing: dict[str, Any] = {
            "spec": None,
            "space": None,
            "estimate": None,
            "warnings": [],
            "errors": [],
        }
        out.data({"valid": True, **nothing})
    else:
        out.data("The fields fit. Without --offline the service checks the rest, and tells the price.")


def _tell(out: Output, found: "Validation", resolved: bool) -> None:
    if out.as_json:
        out.data(_document(found))
        return
    if resolved:
        out.data(dict(found.spec or {}))
    else:
        out.details(price(found.space or {}, found.estimate or {}))
    for warning in found.warnings:
        out.warn(f"{warning.get('pointer', '')} {warning.get('detail', '')}".strip())


def _document(found: "Validation") -> dict[str, Any]:
    """The answer as the service gave it."""
    digests = {name: getattr(found, name, None) for name in ("spec_digest", "dataset_digest")}
    return {
        "valid": found.valid,
        "spec": found.spec,
        "space": found.space,
        "estimate": found.estimate,
        "warnings": list(found.warnings),
        "errors": [],
        **digests,
        **found.extra,
    }


def price(space: Mapping[str, Any], estimate: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a valid spec would cost, as names and values."""
    low, high = estimate.get("smallest_parameters"), estimate.get("largest_parameters")
    shares = [estimate.get(f"{name}_images") for name in ("training", "validation", "test")]
    size = space.get("size")
    return [
        ("valid", "yes"),
        ("open values", space.get("open_values")),
        ("configurations", "not countable" if size is None else f"{size:,}"),
        ("trials", f"at most {estimate.get('trials', 0):,}"),
        ("epochs", f"at most {estimate.get('epochs', 0):,} in all trials"),
        ("parameters", f"{low:,}" if low == high and low is not None else f"{_count(low)} to {_count(high)}"),
        ("images", "{} to train, {} to validate, {} to test".format(*map(_count, shares))),
    ]


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else "?"
