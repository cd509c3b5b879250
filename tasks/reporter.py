"""What a training tells: every epoch is written down, and what comes back may end it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from schemas.specs import JobSpec
from schemas.states import StopReason
from schemas.stopping import AshaStopping, NoStopping
from schemas.trials import Epoch
from store import attempts, curves, searches, trials
from store.attempts import Claim
from tasks.context import Context
from tasks.keeper import Keeper, Stopped

if TYPE_CHECKING:
    from tuning.stopping import Curve


@dataclass
class Reporter:
    """Of one trial. ``stopped`` says what has ended it, if anything has.

    Args:
        last_epoch: that the trial trains, in each fold, unless it is ended.
        device: that it runs on.
    """

    context: Context
    claim: Claim
    keeper: Keeper
    spec: JobSpec
    last_epoch: int
    device: str
    stopped: str | None = None

    def epoch(self, epoch: Epoch) -> None:
        """Writes an epoch down.

        Raises:
            Interrupted: a stopping rule ends the trial.
            Paused: it is to be left as it stands.
            LeaseLost: it is somebody else's by now.
        """
        from tuning.training import Interrupted, Paused

        lease, seconds = self.claim.lease, self.context.settings.lease_seconds
        with self.context.database.write() as session:
            told = attempts.report(session, lease, epoch, seconds, self.device)
            spent = searches.is_spent(session, lease.job_id)
            if spent:
                searches.end(session, lease.job_id, StopReason.BUDGET_EXHAUSTED)
                told = StopReason.BUDGET_EXHAUSTED
        self.keeper.told(told)
        if self.keeper.is_pausing:
            raise Paused
        if told is None and self._is_hopeless(epoch):
            self.stopped = self.spec.search.stopping.rule
            raise Interrupted

    def check(self) -> None:
        """To be called after every batch.

        Raises:
            Interrupted: the trial is to end now.
            LeaseLost: it is somebody else's by now.
        """
        from tuning.training import Interrupted

        try:
            self.keeper.check()
        except Stopped as stop:
            self.stopped = stop.reason
            self.keeper.heard()
            raise Interrupted from stop

    def _is_hopeless(self, epoch: Epoch) -> bool:
        """What the stopping rule says, by what all trials have reported until now; nobody waits."""
        from tuning.stopping import is_halt, should_stop

        rule = self.spec.search.stopping
        if isinstance(rule, NoStopping) or epoch.epoch >= self.last_epoch:
            return False
        if self.claim.effort.is_range_test:
            # The rule is that of the search which follows.
            return False
        if isinstance(rule, AshaStopping) and not is_halt(rule, epoch.epoch):
            return False
        with self.context.database.read() as session:
            own, others = self._curves(session, epoch)
        return should_stop(rule, self.spec.objective, own, others, self.last_epoch)

    def _curves(self, session: Session, epoch: Epoch) -> "tuple[list[Epoch], list[Curve]]":
        """This trial's curve and the others', each with what it has gone on from."""
        from tuning.stopping import Curve

        job_id, metric = self.claim.lease.job_id, self.spec.objective.metric
        found = curves.values(session, job_id, metric, epoch.fold, epoch.epoch)
        family = trials.family(session, job_id)

        def line(number: int) -> list[Epoch]:
            parent = family[number].parent
            return [*([] if parent is None else line(parent)), *found.get(number, [])]

        continued = {one.parent for one in family.values()}
        own = self.claim.lease.number
        assert own is not None
        others = [
            Curve(line(number), one.has_ended)
            for number, one in family.items()
            if number not in continued and number != own
        ]
        return line(own), others
