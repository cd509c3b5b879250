"""The summary: read by a Markdown parser as a site reads it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cli_reports import BEST, judged, made_job, made_report
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tuneserve.best import Best
from tuneserve.cli import markdown
from tuneserve.cli.baseline import Baseline
from tuneserve.cli.exits import Exit
from tuneserve.cli.gates import Gate
from tuneserve.cli.pictures import best_so_far, mermaid, thinned
from tuneserve.cli.report import Report
from tuneserve.cli.summary import summary

# Raw HTML is parsed as such, so that a test sees any that comes through.
SITE = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")


def parsed(page: str) -> list[Token]:
    return SITE.parse(page)


def tables(page: str) -> list[list[list[str]]]:
    """The text of every cell."""
    found: list[list[list[str]]] = []
    tokens = parsed(page)
    for index, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            found[-1][-1].append(said(tokens[index + 1]))
    return found


def said(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def test_a_run_whose_gates_are_met() -> None:
    page = summary(made_report())
    gates, hyperparameters, price = tables(page)
    assert page.startswith("## letters: every gate met\n")
    assert "Job `job_1` (succeeded), made by this run." in page
    assert gates[1:] == [
        ["val_accuracy", "≥ 0.97", "0.98", "met"],
        ["parameters", "≤ 2,000,000", "12,000", "met"],
    ]
    assert hyperparameters[1:] == [["training.learning_rate", "0.00093"], ["model.dropout", "0.4"]]
    assert ["Search", "1 min 33 s"] in price
    assert "](" not in page
    assert "http" not in page


def test_the_picture_of_the_search() -> None:
    page = summary(made_report())
    (chart,) = [token for token in parsed(page) if token.type == "fence"]
    assert chart.info == "mermaid"
    lines = [line.strip() for line in chart.content.splitlines()]
    assert lines[0] == "xychart-beta"
    assert lines[-1] == "line [0.9, 0.9, 0.98, 0.98]"
    assert 'x-axis "Trials" 1 --> 4' in lines
    assert re.search(r"[▁-█]{4} best `val_accuracy` so far, 0\.9 to 0\.98", page)


def test_a_gate_that_is_missed() -> None:
    report = made_report(exit=Exit.GATE_MISSED, problem="1 of 2 gates missed")
    report.judged = [
        judged(Gate("val_accuracy", "min", 0.99), 0.98),
        judged(Gate("test_auc", "min", 0.9), None, "it was not finite"),
    ]
    page = summary(report)
    assert page.startswith("## letters: a gate was missed\n")
    assert [row[2:] for row in tables(page)[0][1:]] == [["0.98", "missed"], ["it was not finite", "missed"]]


def test_the_change_since_the_baseline() -> None:
    before = {**BEST, "validation": {"loss": 0.07, "accuracy": 0.985}, "model": None}
    report = made_report(baseline=Baseline(made_job(id="job_0"), Best.parse(before), 0.01))
    report.judged = [judged(Gate("val_accuracy", "min", 0.975, 0.985), 0.98)]
    gates, changes = tables(summary(report))[:2]
    assert gates[1] == ["val_accuracy not worse than the baseline", "≥ 0.975", "0.98", "met"]
    rows = {row[0]: row[1:] for row in changes[1:]}
    assert rows["val_accuracy"] == ["0.98", "0.985", "-0.005"]
    assert rows["val_loss"] == ["0.07", "0.07", "±0"]
    assert "parameters" not in rows


def test_a_reused_job_and_a_dry_run_say_so() -> None:
    assert "taken from before: the same spec on the same data" in summary(made_report(is_reused=True))
    dry = summary(Report(is_dry=True, gates=[Gate("score", "min", 0.9)]))
    assert dry.startswith("## job: dry run, nothing submitted")
    assert tables(dry)[0][1] == ["score", "≥ 0.9", "", "not judged"]


def test_a_job_that_failed_tells_the_causes() -> None:
    causes = [{"code": "out_of_memory", "count": 3, "message": "no | room <b>"}]
    error = {"code": "all_trials_failed", "title": "t", "detail": "d", "trials": causes}
    report = Report(
        exit=Exit.JOB_FAILED, problem="job job_1 ended failed", job=made_job("failed", error=error)
    )
    page = summary(report)
    assert page.startswith("## letters: the job failed")
    assert "**job failed**" in page
    quoted = [said(token) for token in parsed(page) if token.type == "inline"]
    assert "3 times out_of_memory: no | room <b>" in quoted


HOSTILE = [
    "a|b",
    "a\\|b",
    "<script>alert(1)</script>",
    "`code` ``` fence",
    "[link](http://evil.example)",
    "![image](http://evil.example/x.png)",
    "http://evil.example",
    "www.evil.example",
    "me@evil.example @team #1",
    "**bold** _it_ ~~gone~~",
    "line\nbreak\r\n\n## heading",
    "\x1b[31mred\x00",
    "\u202eturned",
    "&lt;b&gt; &amp;",
    "- item",
    "$x^2$",
    "| a |\n|---|",
    "",
    "   ",
    "`",
    "trailing\\",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_others_stay_text(text: str) -> None:
    best = {**BEST, "hyperparameters": {text: text}}
    job = made_job(
        name=text or "empty",
        state="failed",
        error={"code": text, "detail": text, "trials": [{"message": text}]},
    )
    report = made_report(
        best_document=best, job=job, exit=Exit.JOB_FAILED, problem=text, warnings=[text or "-"]
    )
    report.judged = [judged(Gate(text or "x", "min", 0.5), None, text)]
    page = summary(report)
    tokens = parsed(page)
    kinds = {token.type for token in tokens} | {
        child.type for token in tokens for child in token.children or () if token.type == "inline"
    }
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "s_open", "em_open", "hr"}
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2", "h3", "h3", "h3"]
    assert [len(rows) for rows in tables(page)][:2] == [2, 2]
    assert all(len(row) == len(rows[0]) for rows in tables(page) for row in rows)
    shown = " ".join(re.sub(r"[\x00-\x1f\u202e]", " ", text).split())
    assert [cell.replace("\u200b", "") for cell in tables(page)[1][1]] == [shown, shown]
    assert not re.search(r"(?i)https?://|www\.|@", re.sub(r"`[^`\n]*`", "", page))


@pytest.mark.parametrize("mention", ["@team", "@-x", "#12", "!7", "&3", "~bug", "%4", "$5", "group/it#8"])
def test_mentions_and_references_are_none_for_a_forge_either(mention: str) -> None:
    """It looks for them in what Markdown has become, where an entity is its character again."""
    (paragraph,) = [token for token in parsed(markdown.text(f"by {mention}")) if token.type == "inline"]
    assert said(paragraph).replace("\u200b", "") == f"by {mention}"
    assert not re.search(r"[@#!&~%$](?!\u200b)", said(paragraph))


def test_signs_that_refer_to_nothing_are_left_alone() -> None:
    assert markdown.text("up 5% at last!") == "up 5% at last&#33;"


def test_ids_can_be_read_and_copied() -> None:
    told = "Job job_01kab goes on: ds_01k and builtin:digits, val_accuracy in my_model."
    wanted = "Job `job_01kab` goes on: `ds_01k` and `builtin:digits`, val_accuracy in my_model."
    assert markdown.text(told) == wanted
    assert markdown.text("_a_ :smile: x_") == "&#95;a&#95; &#58;smile: x&#95;"


def test_the_axis_of_a_share_ends_at_one() -> None:
    assert mermaid([0.9, 0.999], "val_accuracy").splitlines()[4].endswith("--> 1")
    assert mermaid([0.9, 0.999], "val_loss").splitlines()[4].endswith("--> 1.0089")


@pytest.mark.parametrize("value", [0.5, True, "adam", [3, 3], None])
def test_plain_values_are_code(value: Any) -> None:
    assert markdown.code(value) == f"`{value}`"


def test_long_texts_are_cut() -> None:
    assert len(markdown.text("x" * 10_000)) == 300


def test_best_so_far_by_direction() -> None:
    assert best_so_far([None, 0.5, 0.4, None, 0.7], "val_accuracy") == [0.5, 0.5, 0.5, 0.7]
    assert best_so_far([0.5, 0.4, float("nan"), 0.7], "val_loss") == [0.5, 0.4, 0.4, 0.4]
    assert best_so_far([None], "val_loss") == []


def test_a_picture_has_room_for_a_thousand_trials() -> None:
    values = [index / 1000 for index in range(1000)]
    shown = thinned(values)
    assert (len(shown), shown[0], shown[-1]) == (60, 0.0, 0.999)
    assert 'x-axis "Trials" 1 --> 1000' in mermaid(values, "val_accuracy")


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0], [1e-7, 1e-6], [0.999999, 1.0]])
def test_axes_have_room_and_no_exponents(values: list[float]) -> None:
    chart = mermaid(values, "val_loss")
    low, high = map(float, re.findall(r"y-axis .* (\S+) --> (\S+)", chart)[0])
    assert low < min(values) <= max(values) < high
    assert "e-" not in chart
    assert mermaid([], "val_loss") == ""
