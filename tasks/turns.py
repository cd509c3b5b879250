"""Whose trial a free slot takes: the queue knows who came first, the rows know whose turn it is."""

from schemas.specs import load_spec
from store import searches, turns
from tasks.context import Context
from tasks.plan import time_limit


def is_next(context: Context, job_id: str, number: int) -> bool:
    """Whether a waiting trial's job has the next turn.

    If not, the trial that has it is sent ahead of all others, and this one to the end of the line: the
    message of a trial carries its own time limit, so no trial can run on another's.
    """
    with context.database.read() as session:
        found = turns.next_trial(session)
        if found is None or found[0] == job_id:
            return True
        ahead, behind = searches.work(session, found[0]), searches.work(session, job_id)
    if ahead is None or behind is None:
        return True
    context.send.trial(*found, time_limit(context, load_spec(ahead.spec)), chosen=True)
    context.send.trial(job_id, number, time_limit(context, load_spec(behind.spec)))
    return False
