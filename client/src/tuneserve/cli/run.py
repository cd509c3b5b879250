"""`tuneserve run`: from a spec to a model that meets its gates, or an exit code that says why not."""

import math
from pathlib import Path
from typing import Any

import click

from tuneserve.cli.context import GivenPath, Id, connection_options, end, output, spec_options
from tuneserve.cli.durations import Duration
from tuneserve.cli.exits import Exit
from tuneserve.cli.interrupts import Interrupted, interrupts
from tuneserve.cli.pipeline import Options, Pipeline

_FILE = GivenPath(dir_okay=False, path_type=Path)
_FOLDER = GivenPath(file_okay=False, path_type=Path)


class _Tolerance(click.ParamType[float]):
    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            tolerance = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not 0 <= tolerance < math.inf:
            self.fail(f"{value!r} is not 0 or more.", param, ctx)
        return tolerance


@click.command()
@spec_options
@click.option(
    "--dataset",
    metavar="PATH|ID",
    type=GivenPath(),
    help="Data set instead of the spec's; files are uploaded.",
)
@click.option("--min", "mins", metavar="METRIC=N", multiple=True, help="Gate: at least. May be repeated.")
@click.option("--max", "maxs", metavar="METRIC=N", multiple=True, help="Gate: at most. May be repeated.")
@click.option("--baseline", metavar="JOB", type=Id("job_"), help="Gate: no worse than this job's model.")
@click.option("--tolerance", type=_Tolerance(), help="By how much it may be worse; 0 unless given.")
@click.option("--timeout", type=Duration(), help="How long to wait for the job: 90s, 15m, 1h30m, 2h.")
@click.option("--reuse", is_flag=True, help="Take an earlier job of the same spec and data.")
@click.option("--junit", metavar="FILE", type=_FILE, help="Write a JUnit report.")
@click.option("--summary", metavar="FILE", type=_FILE, help="Write a Markdown summary.")
@click.option("--output", "folder", metavar="DIR", type=_FOLDER, help="Download model.keras and best.json.")
@click.option("--cancel-on-interrupt", is_flag=True, help="Ctrl-C and SIGTERM cancel the job.")
@click.option("--cancel-on-timeout", is_flag=True, help="The end of --timeout cancels the job.")
@click.option("--label", "labels", metavar="K=V", multiple=True, help="Label of the job. May be repeated.")
@click.option("--idempotency-key", metavar="KEY", help="With the same key again: the same job.")
@click.option("--dry-run", is_flag=True, help="Check spec and gates and show the price; submit nothing.")
@connection_options
def run(**given: Any) -> None:
    """Submit SPEC, wait for its end, and hold the model against gates.

    A gate is on a metric of the validation share (val_accuracy), of the test share (test_accuracy), on score,
    parameters, model_bytes or prediction_seconds. One on a metric that the job will not have is found before
    the job is submitted.
    """
    try:
        code = _code(Options(**given))
    except Interrupted:
        code = Exit.INTERRUPTED
    end(code)


def _code(options: Options) -> Exit:
    """Runs, writes the reports in any case, and gives the exit code; errors are the program's to tell."""
    with interrupts() as handler:
        pipeline = Pipeline(options, output(), handler)
        try:
            try:
                pipeline.run()
            finally:
                # An interrupt up to here is the run's: what comes later finds it on its way out.
                handler.settle()
        except BaseException as error:
            pipeline.fail(error)
            if not isinstance(error, Interrupted):
                raise
        finally:
            pipeline.close()
    return pipeline.report.exit
