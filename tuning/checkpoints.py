"""Checkpoints: where a training stands at the end of an epoch, and what goes on from there."""

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np

from schemas.trials import Epoch
from tuning.data import Array

# Written into every file: another layout gets another number, and is refused.
_LAYOUT = 1
_META = "meta"
_GROUPS = ("variables", "optimizer", "best")
_UNREADABLE = (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class CheckpointMismatch(RuntimeError):
    """A checkpoint is not of this configuration, or cannot be read: the training has to begin anew."""


@dataclass(frozen=True)
class Checkpoint:
    """A training after ``epoch`` whole epochs of ``fold`` (both from 1).

    Args:
        steps: of the optimizer in an epoch.
        variables: of the model that is trained, in its own order: weights, statistics of batch normalisation,
            states of random generators.
        optimizer: variables of the optimizer, its counter of steps included.
        best: weights of the net (`keras.Model.get_weights`) at the best epoch so far; None where nobody
            will need them.
    """

    fold: int
    epoch: int
    steps: int
    variables: Sequence[Array]
    optimizer: Sequence[Array]
    best: Sequence[Array] | None = None

    @classmethod
    def of(
        cls, model: keras.Model, fold: int, epoch: int, steps: int, best: Sequence[Array] | None
    ) -> "Checkpoint":
        """Copies what a compiled model knows."""
        variables, optimizer = _values(model.variables), _values(model.optimizer.variables)
        return cls(fold, epoch, steps, variables, optimizer, best)

    def restore(self, model: keras.Model) -> None:
        """Gives a model of the same configuration the variables.

        Raises:
            CheckpointMismatch: it is another's; the model is as it was.
        """
        _assign(model.variables, self.variables, "model")

    def restore_optimizer(self, model: keras.Model, steps: int) -> None:
        """Gives the optimizer of a compiled model its variables.

        Args:
            steps: that this training has in an epoch. Where the other had fewer, since it saw a share of the
                images, the counter is set to so many epochs of this one: schedules go by it.

        Raises:
            CheckpointMismatch: it is another's; the optimizer is as it was.
        """
        optimizer = model.optimizer
        optimizer.build(model.trainable_variables)
        _assign(optimizer.variables, self.optimizer, "optimizer")
        if steps != self.steps:
            counter = optimizer.iterations
            counter.assign(round(int(counter) * steps / self.steps))

    def save(self, file: Path) -> None:
        """As npz, of plain numbers alone; nothing in it is ever executed."""
        groups = {name: getattr(self, name) or () for name in _GROUPS}
        meta = {
            "layout": _LAYOUT,
            "fold": self.fold,
            "epoch": self.epoch,
            "steps": self.steps,
            "has_best": self.best is not None,
            "types": {name: [str(array.dtype) for array in group] for name, group in groups.items()},
        }
        arrays = {
            f"{name}_{index}": _plain(array)
            for name, group in groups.items()
            for index, array in enumerate(group)
        }
        with file.open("wb") as handle:
            np.savez(handle, **{_META: np.array(json.dumps(meta))}, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, file: Path) -> "Checkpoint":
        """What `save` wrote.

        Raises:
            CheckpointMismatch: it is something else, or damaged.
            OSError: there is no such file.
        """
        try:
            with file.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
                meta = json.loads(str(archive[_META]))
                if meta["layout"] != _LAYOUT:
                    raise CheckpointMismatch(f"the checkpoint has layout {meta['layout']}")
                variables, optimizer, best = (_group(archive, meta, name) for name in _GROUPS)
        except _UNREADABLE as error:
            raise CheckpointMismatch(f"the checkpoint cannot be read ({type(error).__name__})") from error
        kept = best if meta["has_best"] else None
        return cls(meta["fold"], meta["epoch"], meta["steps"], variables, optimizer, kept)


@dataclass(frozen=True)
class Start:
    """Where a trial goes on, instead of beginning.

    Args:
        before: epochs that were trained before the trial began, by its parent and the parents' parents; they
            count for stopping early and for the plateaus of its loss, not for its best epoch.
        own: epochs that the trial itself has reported, of all folds, when it was paused; its best
            epoch may be among them. Those after the checkpoint are trained again.
    """

    checkpoint: Checkpoint
    before: Sequence[Epoch] = ()
    own: Sequence[Epoch] = ()

    def reached(self, fold: int) -> list[Epoch]:
        """The trial's own epochs of a fold up to the checkpoint."""
        made = self.checkpoint
        if fold > made.fold:
            return []
        return [one for one in self.own if one.fold == fold and (fold < made.fold or one.epoch <= made.epoch)]

    def line(self) -> list[Epoch]:
        """Every epoch of the checkpoint's fold that led to it, its parents' included, in order."""
        made = self.checkpoint
        line = {one.epoch: one for one in self.before if one.fold == made.fold and one.epoch <= made.epoch}
        line |= {one.epoch: one for one in self.reached(made.fold)}
        return [line[epoch] for epoch in sorted(line)]


def _values(variables: Sequence[Any]) -> list[Array]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[Array], owner: str) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    given = [tuple(value.shape) for value in values]
    if shapes != given:
        raise CheckpointMismatch(f"the checkpoint is not of this {owner}: {given} are not {shapes}"[:500])
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _plain(array: Array) -> Array:
    """npz knows no bfloat16: what NumPy has no type of its own for is written as its bytes."""
    return array if array.dtype.kind in "biufc" else array.view(f"u{array.dtype.itemsize}")


def _group(archive: Any, meta: dict[str, Any], name: str) -> list[Array]:
    arrays = (archive[f"{name}_{index}"] for index in range(len(meta["types"][name])))
    return [array.view(_type(type_)) for array, type_ in zip(arrays, meta["types"][name], strict=True)]


def _type(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name, name))
