"""Puts right what went wrong without a word: lost workers, lost messages, passed deadlines.

Idempotent, and safe to run twice at once. Each row is put right in a transaction of its own, so that one
bad row stops nothing else.
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from sqlalchemy.orm import Session

from schemas.logs import logger
from schemas.problems import Unavailable
from schemas.specs import load_spec
from schemas.states import JobState, StopReason
from store import answers, attempts, checkpoints, jobs, searches, trials, workers
from store.tables import MAX_FAULTS
from tasks.context import Context
from tasks.plan import time_limit

_log = logger(__name__)

# So many times longer is waited for a message that may stand in line.
_PATIENCE_IN_LINE = 12


def reconcile(context: Context) -> None:
    """One look at everything that is not at rest."""
    _release_expired(context)
    _end_overdue(context)
    _settle_cancelling(context)
    _send_again(context)
    _forget_checkpoints(context)
    _forget_old(context)


def _release_expired(context: Context) -> None:
    with context.database.read() as session:
        expired = attempts.expired(session)
    for job_id, number in expired:
        _log.warning("worker lost", job=job_id, trial=number)
        if _guarded(context, job_id, lambda s, j=job_id, n=number: attempts.release(s, j, n)):
            context.send.plan(job_id)


def _end_overdue(context: Context) -> None:
    with context.database.read() as session:
        overdue = searches.past_deadline(session)
    for job_id in overdue:
        if _guarded(context, job_id, lambda s, j=job_id: searches.end(s, j, StopReason.DEADLINE)):
            context.send.plan(job_id)


def _settle_cancelling(context: Context) -> None:
    with context.database.read() as session:
        cancelling = jobs.in_state(session, JobState.CANCELLING)
    for job_id in cancelling:
        _guarded(context, job_id, lambda s, j=job_id: jobs.settle_cancelled(s, j))


def _send_again(context: Context) -> None:
    """Messages that nothing came of: the broker lost them, or whoever took them."""
    # While others stand in line, this one may do so too; were it sent again and again all the same, a
    # busy service would drown in copies.
    patience = _PATIENCE_IN_LINE if context.send.waiting() else 1
    seconds = patience * context.settings.resend_seconds
    with context.database.read() as session:
        waiting = trials.late(session, seconds)
        unplanned = searches.unplanned(session, seconds)
        unfinished = jobs.unfinished(session, seconds)
    for job_id, numbers in _by_job(waiting).items():
        _send_trials_again(context, job_id, numbers)
    for job_id in unplanned:
        if _guarded(context, job_id, lambda s, j=job_id: jobs.sent(s, j)):
            context.send.plan(job_id)
    for job_id in unfinished:
        if _guarded(context, job_id, lambda s, j=job_id: jobs.sent(s, j)):
            context.send.finish(job_id)


def _send_trials_again(context: Context, job_id: str, numbers: list[int]) -> None:
    limits: list[float | None] = []

    def note(session: Session) -> None:
        trials.sent(session, job_id, numbers)
        if (work := searches.work(session, job_id)) is not None:
            limits.append(time_limit(context, load_spec(work.spec)))

    if _guarded(context, job_id, note):
        for number, limit in product(numbers, limits):
            context.send.trial(job_id, number, limit)


def _by_job(keys: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    grouped: dict[str, list[int]] = {}
    for job_id, number in keys:
        grouped.setdefault(job_id, []).append(number)
    return grouped


def _forget_checkpoints(context: Context) -> None:
    """States of trainings that nothing will go on from."""
    with context.database.read() as session:
        found = checkpoints.superseded(session)
    for one in found:
        try:
            context.blobs.delete(one.path)
        except Unavailable as error:
            _log.warning("checkpoint not deleted", job=one.job_id, error=str(error))
            return
        _guarded(context, one.job_id, lambda s, c=one: checkpoints.forget(s, c))


def _forget_old(context: Context) -> None:
    with context.database.write() as session:
        answers.forget_old(session)
        workers.forget_gone(session)


def _guarded(context: Context, job_id: str, work: Callable[..., Any]) -> bool:
    """Does one row's work in a transaction of its own; notes an error, and says whether it went."""
    try:
        with context.database.write() as session:
            work(session)
        return True
    except Exception:
        _log.exception("reconcile failed", job=job_id)
    try:
        with context.database.write() as session:
            if jobs.count_fault(session, job_id) >= MAX_FAULTS:
                _log.error("job left alone from now on", job=job_id)
    except Exception:
        _log.exception("fault not counted", job=job_id)
    return False
