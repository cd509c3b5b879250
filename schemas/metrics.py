"""Metrics of a classifier, computed exactly over a whole share (never as a mean of batches)."""

METRICS = {
    "loss": "Mean cross-entropy, without penalties, smoothing or weights: comparable between trials.",
    "accuracy": "Share of images whose most likely class is the right one.",
    "balanced_accuracy": "Mean over the classes of the share that is recognised.",
    "precision": "Mean over the classes of the share that is right of what was taken for the class.",
    "recall": "Mean over the classes of the share that is recognised.",
    "f1": "Mean over the classes of the harmonic mean of precision and recall.",
    "top_3_accuracy": "Share of images whose right class is among the three most likely.",
    "top_5_accuracy": "Share of images whose right class is among the five most likely.",
    "auc": "Mean over the classes of the area under the curve of one against the rest.",
}

# Computed in every epoch of every trial, asked for or not.
ALWAYS = ("loss", "accuracy")


def direction(metric: str) -> str:
    """Which way is better; ``val_`` in front does not matter."""
    return "minimize" if metric.removeprefix("val_") == "loss" else "maximize"


# What an epoch may be judged by.
MONITORS = tuple(f"val_{name}" for name in METRICS)
