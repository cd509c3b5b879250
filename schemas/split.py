"""How the data are divided: a test share that no trial sees, the rest for training and validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import post_load

from schemas.fields import Between, Boolean, Integer, Number, StrictSchema
from schemas.problems import fault

MAX_FOLDS = 20


@dataclass(frozen=True)
class Split:
    """Shares of the data for validation and test; the rest is for training.

    With ``folds`` above 1 a trial is trained once for each fold, on what is neither in the fold nor in the
    test share, and scored on the fold; ``validation`` then has no meaning.
    """

    validation: float
    test: float
    folds: int
    stratify: bool

    def divide(self, count: int) -> tuple[int, int, int]:
        """How many of ``count`` images go to training, validation and test.

        A share that is asked for gets at least one image; training gets what is left, which may be
        less than one: then there are too few images. With folds: for the smallest fold.
        """
        test = max(1, round(self.test * count)) if self.test else 0
        if self.folds > 1:
            validation = (count - test) // self.folds
        else:
            validation = max(1, round(self.validation * count))
        return count - validation - test, validation, test

    def sizes(self, class_counts: Sequence[int]) -> tuple[int, int, int]:
        """Images in training, validation and test (of the first fold) for a data set with these classes."""
        groups = class_counts if self.stratify else [sum(class_counts)]
        shares = [self._first_fold(count, index) for index, count in enumerate(groups)]
        return sum(s[0] for s in shares), sum(s[1] for s in shares), sum(s[2] for s in shares)

    def fold_sizes(self, count: int, index: int) -> list[int]:
        """Images in each fold, of ``count`` that are not for the test, for the class at ``index``.

        What does not divide evenly goes to other folds for every class, so that folds stay equal.
        """
        size, rest = divmod(count, self.folds)
        return [size + ((fold - index) % self.folds < rest) for fold in range(self.folds)]

    def _first_fold(self, count: int, index: int) -> tuple[int, int, int]:
        training, validation, test = self.divide(count)
        if self.folds > 1:
            validation = self.fold_sizes(count - test, index)[0]
            training = count - test - validation
        return training, validation, test


class SplitSchema(StrictSchema):
    validation = Number(
        load_default=0.2,
        validate=Between(0.0, 0.9, open_min=True),
        metadata={"description": "Share of the images that scores the trials; not used with folds."},
    )
    test = Number(
        load_default=0.1,
        validate=Between(0.0, 0.9),
        metadata={"description": "Share of the images that no trial sees; 0 for none."},
    )
    folds = Integer(
        load_default=1,
        validate=Between(1, MAX_FOLDS),
        metadata={
            "description": "k-fold cross-validation: each trial is trained and scored so many times, and its "
            "score is the mean; 1 for none."
        },
    )
    stratify = Boolean(
        load_default=True,
        metadata={"description": "Keep the classes' proportions in every share."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Split:
        if data["folds"] == 1 and data["validation"] + data["test"] >= 0.99:
            raise fault("value_out_of_range", "validation and test leave nothing to train on.", "validation")
        return Split(**data)
