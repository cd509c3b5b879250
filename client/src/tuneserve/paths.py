"""Paths: where each thing is in the API."""

from urllib.parse import quote


def api_path(*segments: str | int) -> str:
    """`/v1/...` with each segment quoted; raises `ValueError` for an empty one."""
    if "" in segments:
        raise ValueError("an id or a name is empty")
    return "/v1/" + "/".join(quote(str(segment), safe=":") for segment in segments)
