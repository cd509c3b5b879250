"""Charts: what a notebook gets, and files that are whole in themselves."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tuneserve import Chart, MissingExtra

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "</script><script>alert(1)</script>"


def specification(version: str = "v5", **changes: Any) -> dict[str, Any]:
    return {
        "$schema": f"https://vega.github.io/schema/vega-lite/{version}.json",
        "title": {"text": f"Scores {EVIL}", "subtitle": "best 0.9"},
        "data": {"values": [{"trial": 0, "score": 0.5}, {"trial": 1, "score": 0.9}]},
        "mark": "point",
        "encoding": {
            "x": {"field": "trial", "type": "quantitative"},
            "y": {"field": "score", "type": "quantitative"},
        },
        **changes,
    }


@pytest.fixture
def _nothing_that_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)


@pytest.mark.parametrize("version", ["v5", "v6", "v6.1.0"])
def test_a_notebook_gets_the_chart_and_a_picture(version: str) -> None:
    chart = Chart("history", specification(version))
    bundle = chart._repr_mimebundle_()
    assert bundle[f"application/vnd.vegalite.v{version[1]}+json"] == chart.specification
    assert b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(chart)
    json.dumps(bundle)


@pytest.mark.usefixtures("_nothing_that_draws")
def test_without_the_extra_there_is_no_picture(tmp_path: Path) -> None:
    chart = Chart("history", specification())
    assert sorted(chart._repr_mimebundle_()) == ["application/vnd.vegalite.v5+json", "text/plain"]
    assert chart.save(tmp_path / "a.json").exists()
    with pytest.raises(MissingExtra, match="pip install vl-convert-python"):
        chart.save(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_files(tmp_path: Path) -> None:
    chart = Chart("history", specification())
    assert json.loads(chart.save(tmp_path / "a.json").read_text()) == chart.specification
    assert ElementTree.parse(chart.save(tmp_path / "a.svg")).getroot().tag.endswith("svg")
    assert chart.save(str(tmp_path / "a.PNG")).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a\.pdf: a chart is saved as \.json, \.html"):
        chart.save(tmp_path / "a.pdf")


def test_a_page_is_whole_and_names_in_it_stay_text(tmp_path: Path) -> None:
    page = Chart("history", specification()).save(tmp_path / "a.html").read_text()
    assert EVIL not in page
    assert "<script src" not in page
    assert page.count("</script>") == 2
    text = page.split('id="specification">')[1].split("</script>")[0]
    assert json.loads(text) == specification()


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_picture_loads_nothing(tmp_path: Path, suffix: str) -> None:
    chart = Chart("history", specification(data={"url": "http://127.0.0.1:1/a.csv"}))
    with pytest.raises(ValueError, match="not allowed"):
        chart.save(tmp_path / f"a.{suffix}")


def test_title() -> None:
    assert Chart("history", {"title": "Scores"}).title == "Scores"
    assert Chart("history", {}).title == "history"
