"""All that is trained here is tiny: what it takes is TensorFlow's making of graphs."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _plain_graphs(plain_graphs: None) -> None:
    """Of all that is trained here."""
