"""Entry for a WSGI server: ``gunicorn 'service.wsgi:make()'``."""

from flask import Flask

from schemas.logs import configure
from schemas.settings import Settings
from service.app import create_app


def make() -> Flask:
    settings = Settings.from_environment()
    configure(settings.log_level)
    return create_app(settings)
