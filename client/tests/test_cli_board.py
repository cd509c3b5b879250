"""The board behind the live table: what events make of it, and what fits on a screen."""

from __future__ import annotations

import io

from rich.console import Console

from tuneserve.cli.board import Board


def drawn(board: Board, height: int = 30, width: int = 90) -> list[str]:
    file = io.StringIO()
    Console(width=width, file=file).print(board.render(height))
    return file.getvalue().splitlines()


def epoch(trial: int, number: int, accuracy: float | None, fold: int = 1) -> dict[str, object]:
    return {"trial": trial, "fold": fold, "epoch": number, "metrics": {"val_accuracy": accuracy}}


def test_a_trial_that_is_trained_again_writes_over_its_curve() -> None:
    board = Board("job_1")
    for number, accuracy in ((1, 0.1), (2, 0.2), (2, 0.9), (3, None)):
        board.take("epoch", epoch(0, number, accuracy))
    assert board.rows[0].curve == {1: 0.1, 2: 0.9, 3: None}
    board.take("epoch", epoch(0, 1, 0.5, fold=2))
    assert (board.rows[0].fold, board.rows[0].curve) == (2, {1: 0.5})


def test_what_is_unknown_or_missing_changes_nothing() -> None:
    board = Board("job_1", state="running")
    board.take("dream", {"of": "sheep"})
    board.take("job", {})
    board.take("trial", {"number": 3})
    assert (board.state, list(board.rows)) == ("running", [3])
    assert any("pending" in line for line in drawn(board))


def test_what_does_not_fit_is_left_out_but_the_best_and_the_running() -> None:
    board = Board("job_1", best={"trial": 2, "score": 0.9})
    for number in range(100):
        board.take("trial", {"number": number, "state": "running" if number == 5 else "completed"})
    assert [row.number for row in board.shown_rows(4)] == [2, 5, 98, 99]
    lines = drawn(board, height=12)
    assert len(lines) <= 12
    assert any("and 94 more: tuneserve trials job_1" in line for line in lines)


def test_a_long_row_is_cut_in_the_last_column_alone() -> None:
    board = Board("job_1")
    board.take(
        "trial", {"number": 0, "state": "completed", "score": 0.123456, "hyperparameters": {"a" * 200: 1}}
    )
    row = next(line for line in drawn(board, width=60) if "completed" in line)
    assert "0.123456" in row
    assert row.rstrip().endswith("…")
