"""The application: what it is made of, in order."""

from threading import BoundedSemaphore

from flask import Flask, redirect, request
from werkzeug.routing import BaseConverter, IntegerConverter
from werkzeug.wrappers import Response

from schemas.settings import Settings
from service import (
    artifacts,
    auth,
    catalog,
    context,
    datasets,
    errors,
    events,
    health,
    jobs,
    openapi,
    searches,
    trials,
)
from service.charts import views as charts
from service.context import Services
from service.streams import Streams
from store.blobs import BlobStore
from store.database import Database
from tasks.send import Sender

BLUEPRINTS = (
    jobs.blueprint,
    searches.blueprint,
    trials.blueprint,
    events.blueprint,
    datasets.blueprint,
    artifacts.blueprint,
    charts.blueprint,
    catalog.blueprint,
    health.info_blueprint,
    health.blueprint,
)


class IdConverter(BaseConverter):
    """What an id can look like; all else is a 404 before any query is made."""

    regex = r"[A-Za-z0-9_:-]{1,80}?"


class NameConverter(BaseConverter):
    regex = r"[A-Za-z0-9._-]{1,100}"


class NumberConverter(IntegerConverter):
    def __init__(self, url_map: object) -> None:
        super().__init__(url_map, max=2**31 - 1)  # type: ignore[arg-type]


def create_app(settings: Settings) -> Flask:
    """The API. Opens nothing that outlives a fork."""
    app = Flask("tuneserve", static_folder=None)
    waiting = BoundedSemaphore(max(1, settings.api_threads * 3 // 4))
    app.extensions[context.EXTENSION] = Services(
        settings=settings,
        database=Database(settings.database_url),
        blobs=BlobStore(settings.storage_url),
        send=Sender(settings),
        waiting=waiting,
        streams=Streams(waiting, settings.api_threads, settings.streams_per_key),
    )
    app.url_map.converters.update(id=IdConverter, name=NameConverter, number=NumberConverter)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    errors.handle_errors(app)
    app.before_request(_limit_body)
    auth.require_keys(app)
    openapi.document(app, BLUEPRINTS)
    app.add_url_rule("/", "docs.home", _home)
    return app


def _limit_body() -> None:
    settings = context.services().settings
    is_upload = request.endpoint == "datasets.create"
    request.max_content_length = settings.max_upload_bytes if is_upload else settings.max_body_bytes


def _home() -> Response:
    return redirect("v1/docs/")
