"""Entry for a WSGI server: ``gunicorn 'service.wsgi:make()'``."""

import signal
from threading import Event
from types import FrameType

from flask import Flask

from schemas.logs import configure
from schemas.settings import Settings
from service.app import create_app
from service.context import EXTENSION, Services


def make() -> Flask:
    settings = Settings.from_environment()
    configure(settings.log_level)
    app = create_app(settings)
    services: Services = app.extensions[EXTENSION]
    _set_when_told_to_end(services.streams.stopping)
    return app


def _set_when_told_to_end(event: Event) -> None:
    """Streams end by themselves when the server's process is to end: it would wait for them in vain."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        before = signal.getsignal(number)

        def handle(signum: int, frame: FrameType | None, before: object = before) -> None:
            event.set()
            if callable(before):
                before(signum, frame)

        # What would end the process at once needs no help.
        if callable(before):
            signal.signal(number, handle)
            signal.siginterrupt(number, False)
