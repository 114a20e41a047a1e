"""What a batch leaves: images in folders, at most some thousand in each, or in the table of results."""

from pathlib import PurePath
from typing import Any

import pyarrow as pa

from easel.batch.job import Job

ROWS_PER_FOLDER = 1000  # so that no folder has more than 4,000 images
RESULT = pa.schema(
    {
        "row": pa.int64(),
        "custom_id": pa.string(),
        "seed": pa.int64(),
        "parameters": pa.string(),
        "files": pa.list_(pa.string()),
        "images": pa.list_(pa.binary()),
        "digests": pa.list_(pa.string()),
        "seconds": pa.float64(),
        "warnings": pa.list_(pa.string()),
        "error": pa.string(),
    }
)


def store_images(job: Job, result: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    """Return the result with its images, or with the files that have them now. A row's number names its files."""
    if job.images_in_table:
        return {**result, "files": [], "images": list(files.values())}
    number, names = result["row"], []
    for k, (name, content) in enumerate(files.items()):
        names.append(f"images/{number // ROWS_PER_FOLDER:06d}/{number:09d}.{k}{PurePath(name).suffix}")
        (job.place / names[-1]).write(content)
    return {**result, "files": names, "images": []}
