"""Writes the outputs of the action, `name=value` a line, from what `tuneserve run --json` has written.

Usage: outputs.py FILE
"""

import json
import sys
from pathlib import Path
from typing import Any


def outputs(document: dict[str, Any]) -> dict[str, Any]:
    """The outputs by name; of what there is not, an empty text."""
    model = [path for path in document["artifacts"] if Path(path).name == "model.keras"]
    return {
        "verdict": document["verdict"],
        "exit-code": document["exit_code"],
        "job": (document["job"] or {}).get("id", ""),
        "reused": str(document["reused"]).lower(),
        "score": (document["best"] or {}).get("score", ""),
        "model": model[0] if model else "",
    }


def main() -> None:
    """Print them; nothing if the command ended before it could write a document."""
    content = Path(sys.argv[1]).read_text(encoding="utf-8") if Path(sys.argv[1]).exists() else ""
    if not content.strip():
        return
    for name, value in outputs(json.loads(content)).items():
        # One line each: a line break would begin another output.
        print(f"{name}={' '.join(str(value).split())}")


if __name__ == "__main__":
    main()
