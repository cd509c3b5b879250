"""`/v1/jobs/{id}/charts`: pictures of a search, for notebooks, pages and reports."""

from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

from flask import Response, jsonify, make_response, request

from schemas.charts import ChartInfo, ChartListSchema, Rows
from schemas.fields import nearest
from schemas.problems import Invalid, NotFound
from schemas.specs import load_spec
from service import context
from service.bodies import Blueprint
from service.charts import CHARTS, Chart, curves, drawn, listed
from service.charts.frame import empty
from service.transactions import reads
from store import charts, jobs

blueprint = Blueprint("charts", __name__, description="Pictures of a search.")

# Moved whenever a chart is drawn in another way: what clients have kept of an ended job is then old.
_DRAWING = 1

_SPECIFICATION = {
    "description": "A Vega-Lite specification, version 5, with its data in it",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


@blueprint.route("/v1/jobs/<id:job_id>/charts", methods=["GET"])
@reads
@blueprint.response(HTTPStatus.OK, ChartListSchema)
def index(job_id: str) -> dict[str, list[ChartInfo]]:
    """List the charts that there are of a job."""
    jobs.revision(context.session(), context.project(), job_id)
    return {"items": listed()}


@blueprint.route("/v1/jobs/<id:job_id>/charts/<name:name>", methods=["GET"])
@blueprint.doc(responses={"200": _SPECIFICATION})
@blueprint.alt_response(HTTPStatus.NOT_MODIFIED, success=True, description="Not modified")
def get(job_id: str, name: str) -> Response:
    """One chart as a Vega-Lite specification; `ETag` and `If-None-Match` make polling cheap."""
    with context.reading() as session:
        revision = jobs.revision(session, context.project(), job_id)
    chart = _chart(name)
    if request.if_none_match.contains_weak(_tag(revision)):
        return make_response("", HTTPStatus.NOT_MODIFIED, _headers(revision))
    try:
        revision, rows = _read(job_id, chart)
        specification = drawn(chart, rows)
    except Invalid:
        specification = empty(chart.title, "This version cannot read the spec of the job.")
    return make_response(jsonify(specification), HTTPStatus.OK, _headers(revision))


def _chart(name: str) -> Chart:
    if name not in CHARTS:
        text = f"There is no chart {name}; there are {', '.join(CHARTS)}.{nearest(name, list(CHARTS))}"
        raise NotFound("chart_not_found", text)
    return CHARTS[name]


def _read(job_id: str, chart: Chart) -> tuple[int, Rows]:
    """The job's revision and rows of one moment."""
    with context.reading() as session:
        revision, document = charts.job(session, context.project(), job_id)
        spec = load_spec(document)
        rows = Rows(spec.objective, spec.space, charts.trials(session, job_id), datetime.now(UTC))
        if chart.needs is None:
            return revision, rows
        metric, numbers = spec.objective.metric, chart.needs(rows)
        points = charts.points(session, job_id, metric, numbers, curves.MAX_EPOCHS, curves.kept(rows))
    return revision, replace(rows, points=points)


def _headers(revision: int) -> dict[str, str]:
    return {"ETag": f'"{_tag(revision)}"', "Cache-Control": "no-cache"}


def _tag(revision: int) -> str:
    return f"{revision}-{_DRAWING}"
