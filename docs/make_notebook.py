"""Writes docs/first-search.ipynb: runs it against a service of its own and keeps what it showed.

The cells are here, as text that can be reviewed; `tests/whole/test_clients.py` runs what was written.
"""

import os
import sys
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path
from textwrap import dedent

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "first-search.ipynb"

CELLS = (
    (
        "markdown",
        """
        # A first search

        A data set goes up, a search runs while we watch, and a tuned model comes back.

        The service has been started with `make up`; its address and key are in `TUNESERVE_URL` and
        `TUNESERVE_API_KEY`. This side needs no TensorFlow until the model is loaded at the end:
        `pip install './client[charts,keras,pandas]' jupyterlab tensorflow-cpu scikit-learn`.
        """,
    ),
    (
        "code",
        """
        from sklearn.datasets import load_digits

        from tuneserve import Client, hp

        client = Client()
        digits = load_digits()
        images = digits.images.astype("uint8")
        """,
    ),
    (
        "markdown",
        """
        ## Upload

        `x` is (N, H, W) raw pixels, `y` the classes. The same arrays again are not sent again.
        """,
    ),
    (
        "code",
        """
        dataset = client.datasets.upload(x=images, y=digits.target, name="digits")
        dataset
        """,
    ),
    (
        "markdown",
        """
        ## What is left open

        A recipe in which any value may be left open. `validate` says what the search would cost before
        anything is spent.
        """,
    ),
    (
        "code",
        """
        spec = {
            "name": "first search",
            "dataset": dataset,
            "model": {
                "family": "cnn",
                "filters": hp.Choice([8, 16, 32]),
                "dropout": hp.Float(0.0, 0.5, step=0.1),
            },
            "training": {
                "optimizer": hp.Choice(["adam", "sgd"]),
                "learning_rate": hp.Float(1e-4, 1e-1, sampling="log"),
                "momentum": hp.Float(0.0, 0.95, when={"training.optimizer": "sgd"}),
                "epochs": 6,
            },
            "budget": {"max_trials": 10},
        }
        client.jobs.validate(spec).estimate
        """,
    ),
    (
        "markdown",
        """
        ## Search

        `wait` shows the progress as it happens; `on_trial` gets every trial that ends.
        """,
    ),
    (
        "code",
        """
        def tell(trial):
            print(f"trial {trial.number}: {trial.state}, {trial.score:.3f}")


        job = client.jobs.create(spec).wait(on_trial=tell)
        """,
    ),
    ("markdown", "## What was tried"),
    (
        "code",
        """
        job.to_dataframe().sort_values("score", ascending=False).head()
        """,
    ),
    ("code", """job.chart("history")"""),
    ("code", """job.chart("curves")"""),
    ("code", """job.chart("parallel")"""),
    ("code", """job.chart("importance")"""),
    ("code", """job.chart("timeline")"""),
    (
        "markdown",
        """
        ## The tuned model

        The service trained the best configuration once more on training and validation images together,
        scored it on images that no trial had seen, and loaded the file again to check that score.
        """,
    ),
    (
        "code",
        """
        best = job.best_result()
        print(best.hyperparameters)
        print(best.test)
        """,
    ),
    (
        "code",
        """
        model = job.best_model()
        probabilities = model.predict(images[:12, ..., None], verbose=0)
        print("predicted", probabilities.argmax(axis=1))
        print("true     ", digits.target[:12])
        """,
    ),
)


def notebook() -> nbformat.NotebookNode:
    """The notebook without its output."""
    makers = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    cells = [
        makers[kind](dedent(text).strip(), id=f"cell-{place}") for place, (kind, text) in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def run(made: nbformat.NotebookNode, url: str, key: str) -> nbformat.NotebookNode:
    """The notebook with what it shows on a service; raises `CellExecutionError` for a cell that fails."""
    surroundings = {**os.environ, "TUNESERVE_URL": url, "TUNESERVE_API_KEY": key}
    # TensorFlow tells its birth on stderr, where the progress is.
    surroundings["TF_CPP_MIN_LOG_LEVEL"] = "3"
    runner = NotebookClient(made, timeout=300, kernel_name="python3", record_timing=False)
    return runner.execute(env=surroundings)


def kept(made: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what every run says otherwise, and with small pictures: this is kept in the repository."""
    made.metadata.pop("language_info", None)
    for cell in made.cells:
        outputs = [one for one in cell.get("outputs", ()) if one.get("name") != "stderr"]
        for data in (one["data"] for one in outputs if "data" in one):
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
        if "outputs" in cell:
            cell.outputs = outputs
    return made


def smaller(picture: str) -> str:
    """A PNG in base64 with 64 colours at most."""
    packed = BytesIO()
    with Image.open(BytesIO(b64decode(picture))) as image:
        image.convert("RGB").quantize(64).save(packed, "PNG", optimize=True)
    return b64encode(packed.getvalue()).decode()


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from examples.demo import service

    with service() as (url, key):
        made = run(notebook(), url, key)
    nbformat.write(kept(made), FILE)


if __name__ == "__main__":
    main()
