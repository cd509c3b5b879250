"""What people call a job, and find it again by."""

from typing import Any

from schemas.fields import Dict, Pattern, Sized, String


def name_field(**more: Any) -> String:
    return String(validate=Sized(max=200), metadata={"description": "What people call the job."}, **more)


def labels_field(**more: Any) -> Dict:
    return Dict(
        keys=String(validate=Pattern(r"[\w./-]{1,63}", "1 to 63 letters, digits, '.', '_', '-' or '/'.")),
        values=String(validate=Sized(max=255)),
        validate=Sized(max=64),
        metadata={"description": "For finding the job again."},
        **more,
    )
