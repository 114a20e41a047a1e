"""The end of a prediction on disk."""

from typing import Any

from easel.api.database import Database
from easel.api.database_errors import RowRefusedError
from easel.api.tables import Prediction
from easel.api.trained import finish_training


async def save_end(database: Database, log: Any, prediction: Prediction) -> None:
    """However odd what the model gave is, that it ended is kept; with it the version that a training made."""
    made = None
    if prediction.destination and prediction.status == "succeeded":
        made = await finish_training(database, prediction)
    try:
        await database.save_with_retry(prediction, *([made] if made else []))
    except RowRefusedError as problem:
        log.error("refused", id=prediction.id, problem=str(problem))
        prediction.status, prediction.output, prediction.logs, prediction.metrics = "failed", None, "", {}
        prediction.error = "The database of this API cannot hold what the model's server told of it."
        names = ("status", "output", "logs", "metrics", "error", "given", "completed_at", "webhook_pending")
        values = {name: getattr(prediction, name) for name in names}  # and nothing else of the row
        await database.set_with_retry(Prediction, prediction.id, **values)
