"""Paths: where each thing is in the API."""

from urllib.parse import quote

from tuneserve.errors import Unsendable


def api_path(*segments: str | int) -> str:
    """`/v1/...` with each segment quoted; raises `Unsendable` for one that is empty or no text."""
    if "" in segments:
        raise Unsendable("an id or a name is empty")
    try:
        return "/v1/" + "/".join(quote(str(segment), safe=":") for segment in segments)
    except UnicodeEncodeError as error:
        raise Unsendable.because(error) from None
