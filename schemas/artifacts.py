"""Files that a job leaves: the tuned model, its trials as a table, what it takes to reproduce it."""

from dataclasses import dataclass
from datetime import datetime

from schemas.fields import AnswerSchema, Integer, String, Timestamp
from schemas.pages import PageQuerySchema, page_of

# Names of a finished job's artefacts.
MODEL, TRIALS, REPRODUCE = "model.keras", "trials.csv", "reproduce.json"


@dataclass(frozen=True)
class Artifact:
    """``path`` is where the blob lies; clients know an artefact by its ``name``."""

    name: str
    path: str
    bytes: int
    sha256: str
    media_type: str
    create_time: datetime | None = None


class ArtifactSchema(AnswerSchema):
    name = String(required=True)
    bytes = Integer(required=True)
    sha256 = String(required=True, metadata={"description": "Hexadecimal."})
    media_type = String(required=True)
    create_time = Timestamp(required=True)


class ArtifactQuerySchema(PageQuerySchema):
    pass


ArtifactPageSchema = page_of(ArtifactSchema, "ArtifactPage")
