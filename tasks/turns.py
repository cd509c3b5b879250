"""Whose trial a free slot takes: the queue knows who came first, the rows know whose turn it is."""

from store import searches, trials, turns
from tasks.context import Context
from tasks.plan import kill_after


def is_next(context: Context, job_id: str, number: int) -> bool:
    """Whether a waiting trial's job has the next turn.

    If not, the trial that has it is sent ahead of all others, and this one to the end of the line: the
    message of a trial carries its own time limit, so no trial can run on another's. A message of a trial that
    does not wait any more ends here.
    """
    with context.database.read() as session:
        found = turns.next_trial(session)
        if not trials.is_waiting(session, job_id, number):
            return False
        if found is None or found[0] == job_id:
            return True
        ahead = searches.max_trial_seconds(session, found[0])
        behind = searches.max_trial_seconds(session, job_id)
    context.send.trial(*found, kill_after(context, ahead), chosen=True)
    context.send.trial(job_id, number, kill_after(context, behind))
    return False
