"""Charts: pictures of a search, as Vega-Lite specifications that a notebook draws."""

import html
import json
import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tuneserve.errors import MissingExtra
from tuneserve.records import Document, Record

MIME_TYPE = "application/vnd.vegalite.v{}+json"
"""What notebooks draw by themselves; the number is the major version of Vega-Lite."""

PNG_SCALE = 2.0
"""Pixels for each point of the chart: sharp on today's screens."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'">
<title>{title}</title>
</head>
<body>
<div id="chart"></div>
<script type="application/json" id="specification">{specification}</script>
<script type="module">{script}</script>
</body>
</html>
"""
"""A page that shows a chart and can load nothing, whatever the chart says."""

SCRIPT = """
const text = document.getElementById("specification").textContent;
const actions = {export: true, source: false, compiled: false, editor: false};
vegaEmbed("#chart", JSON.parse(text), {renderer: "svg", actions});
"""


@dataclass(frozen=True, kw_only=True)
class ChartInfo(Record):
    """A chart that the service can draw of a job."""

    name: str
    title: str = ""
    description: str = ""


class Chart:
    """A chart of a job; the last expression of a notebook's cell shows it.

    Attributes: `name`, and `specification`, Vega-Lite with its data inside.
    """

    def __init__(self, name: str, specification: Document) -> None:
        self.name = name
        self.specification = specification

    def __repr__(self) -> str:
        return f"Chart(name={self.name!r}, title={self.title!r})"

    @property
    def title(self) -> str:
        """The title in the chart, or its name."""
        title = self.specification.get("title")
        text = title.get("text") if isinstance(title, Mapping) else title
        return str(text or self.name)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = {
            MIME_TYPE.format(self._major_version()): dict(self.specification),
            "text/plain": repr(self),
        }
        # For viewers that do not draw Vega-Lite, such as a notebook shown by a forge.
        with suppress(MissingExtra):
            bundle["image/png"] = b64encode(_png(self.specification)).decode()
        return bundle

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the chart to a file: `.json`, or `.html`, `.svg`, `.png` with the extra `charts`.

        The HTML page is whole in itself: it loads nothing from anywhere.

        Raises:
            ValueError: Another suffix.
            MissingExtra: The package that draws is not installed.
        """
        target = Path(path)
        writer = _WRITERS.get(target.suffix.lower())
        if writer is None:
            raise ValueError(f"{target.name}: a chart is saved as {', '.join(_WRITERS)}")
        target.write_bytes(writer(self.specification))
        return target

    def _major_version(self) -> str:
        schema = str(self.specification.get("$schema", ""))
        return "6" if "/v6" in schema else "5"


def _json(specification: Document) -> bytes:
    return json.dumps(specification, indent=1).encode()


def _svg(specification: Document) -> bytes:
    drawn: str = _drawing().vegalite_to_svg(dict(specification), allowed_base_urls=[])
    return drawn.encode()


def _png(specification: Document) -> bytes:
    drawn: bytes = _drawing().vegalite_to_png(dict(specification), scale=PNG_SCALE, allowed_base_urls=[])
    return drawn


def _html(specification: Document) -> bytes:
    # Not the package's own page: there a name with `</script>` in it would end the script and begin markup.
    text = json.dumps(dict(specification)).replace("<", "\\u003c")
    script: str = _drawing().javascript_bundle(SCRIPT)
    title = html.escape(Chart("chart", specification).title)
    return PAGE.format(title=title, specification=text, script=script).encode()


_WRITERS: dict[str, Callable[[Document], bytes]] = {
    ".json": _json,
    ".html": _html,
    ".svg": _svg,
    ".png": _png,
}


def _drawing() -> ModuleType:
    try:
        import vl_convert
    except ImportError:
        raise MissingExtra("charts", "drawing a chart") from None
    return vl_convert
