"""Schemathesis over the application, from its own document: whatever is sent, nothing is a server error."""

from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error

from tests.conftest import Api
from tests.service.rows import add_trials, complete, npz, posted, services, upload
from tests.service.test_openapi import OPEN, ROUTES

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


SETTINGS = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_nothing_that_is_sent_is_a_server_error(
    app: Flask, api: Api, spec: dict[str, Any], mode: GenerationMode
) -> None:
    job = posted(api, spec)["id"]
    add_trials(app, job, 1)
    complete(app, job, 0, 0.9)
    known = {"job_id": job, "dataset_id": upload(api, npz()).json["id"], "number": 0}
    # A stream of events tells what there is, and does not stay for more.
    services(app).streams.stopping.set()
    document = schemathesis.openapi.from_wsgi("/v1/openapi.json", app)
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == sum(len(methods) for methods in ROUTES.values())
    # What takes neither a parameter nor a key cannot be sent anything that does not fit.
    for operation in [one for one in operations if one.path not in OPEN or mode is GenerationMode.POSITIVE]:
        send_all(operation.as_strategy(generation_mode=mode), {"Authorization": f"Bearer {api.key}"}, known)


def send_all(cases: Any, headers: dict[str, str], known: dict[str, Any]) -> None:
    """Sends what is generated; and once more to what is there, so that more than the 404 is reached."""

    @SETTINGS
    @given(cases)
    def send(case: Case) -> None:
        case.headers.update(headers)
        case.call_and_validate(checks=[not_a_server_error])
        present = {name: known[name] for name in case.path_parameters or {} if name in known}
        if present:
            case.path_parameters = {**case.path_parameters, **present}
            case.call_and_validate(checks=[not_a_server_error])

    send()
