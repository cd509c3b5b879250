"""Downloads that Keras makes: its data sets and pretrained weights."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def patient(seconds: float) -> Iterator[None]:
    """A network that says nothing fails after so many seconds; Python's default is to wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
