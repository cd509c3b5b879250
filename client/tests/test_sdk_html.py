"""What notebooks show: escaped, well-formed, and without scripts or colours."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from tuneserve import Dataset, Job
from tuneserve.html import dataset_html, job_html, number, size

EVIL = "<script>alert('1')</script>\"&"
TAGS = {"table", "caption", "tbody", "tr", "th", "td", "b", "code", "div", "span", "progress"}


class Page(HTMLParser):
    """The tags, which must close in order, the attributes and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_a_job(job: Any) -> None:
    page = Page(Job(None, job())._repr_html_())  # type: ignore[arg-type]
    assert page.text.startswith("job letters job_1 state running progress 7 of 10 trials, 81 epochs, 93 s")
    assert "labels team: vision" in page.text
    assert "best 0.981 (trial 5, epoch 7)" in page.text
    assert "training.learning_rate 0.00093" in page.text
    assert ("value", "7") in page.attributes
    assert ("max", "10") in page.attributes


def test_a_job_that_has_nothing_to_tell_yet() -> None:
    page = Page(job_html(Job(None, {"id": "job_2", "state": "queued"})))  # type: ignore[arg-type]
    assert page.text == "job job_2 state queued progress 0 trials, 0 epochs, 0 s"


def test_a_job_that_failed_and_warned(job: Any) -> None:
    error = {"code": "all_trials_failed", "title": "All trials failed", "detail": "out of memory"}
    warning = {"code": "learning_rate_high", "detail": "The learning rate is high."}
    changes = {"error": error, "warnings": [warning], "best": None, "stop_reason": "deadline"}
    page = Page(job_html(Job(None, job("failed", **changes))))  # type: ignore[arg-type]
    assert "state failed (deadline)" in page.text
    assert "error all_trials_failed : out of memory" in page.text
    assert "warning The learning rate is high." in page.text


def test_a_data_set() -> None:
    classes = [{"name": f"class {i}", "count": 1000 + i} for i in range(25)]
    document = {"id": "ds_1", "name": "pets", "shape": [8, 8, 3], "samples": 25300, "dtype": "uint8"}
    dataset = Dataset.parse({**document, "classes": classes, "bytes": 4_857_600})
    page = Page(dataset._repr_html_())
    assert page.text.startswith("data set pets ds_1 samples 25,300 shape 8 x 8 x 3 values uint8, 4.86 MB")
    assert "class 19 1,019 and 5 more" in page.text
    assert "class 20" not in page.text


def _everything(job: Any) -> list[str]:
    evil = {"code": EVIL, "title": EVIL, "detail": EVIL}
    best = {"trial": 1, "score": 0.5, "hyperparameters": {EVIL: EVIL}}
    changes = {"id": EVIL, "name": EVIL, "labels": {EVIL: EVIL}, "stop_reason": EVIL, "best": best}
    document = {"id": EVIL, "name": EVIL, "dtype": EVIL, "warnings": [evil, EVIL]}
    dataset = Dataset.parse({**document, "classes": [{"name": EVIL, "count": 1}]})
    made = Job(None, job(EVIL, **changes, error=evil, warnings=[evil, EVIL]))  # type: ignore[arg-type]
    return [job_html(made), dataset_html(dataset)]


def test_everything_is_escaped_and_nothing_runs(job: Any) -> None:
    for html in _everything(job):
        page = Page(html)
        assert page.tags <= TAGS
        assert EVIL in page.text
        assert "<script" not in html
        assert {name for name, _ in page.attributes} <= {"style", "class", "scope", "value", "max"}
        # Light and dark pages: text takes their colour.
        assert not any(
            "color" in (value or "") or "background" in (value or "") for _, value in page.attributes
        )


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (4_857_600, "4.86 MB"), (10**13, "1e+04 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.1235"), (3, "3"), (True, "True"), (None, "None")])
def test_numbers(value: Any, text: str) -> None:
    assert number(value) == text
