"""What the check of a data set says: as a table, as JSON, and as a page that shows how each image is cropped."""

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from easel.publish.contact_sheet import write_page
from easel.training.buckets import bucket_for, crop_box
from easel.training.dataset import Dataset, Example
from easel.training.text import printable

THUMBNAIL = 256  # pixels of the longer side
MAX_CAPTION = 10_000  # characters on the page: more than a caption with prefix and suffix can have
DIMMED = 0.25  # of its brightness is what is cut off
COLUMNS = ("name", "size", "bucket", "caption", "fault")
WIDTHS = (32, 11, 11, 48, 80)  # characters of the columns, at most
GRID = """<style>
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
td { padding: .1rem 1rem .1rem 0; vertical-align: top; overflow-wrap: anywhere; }
</style>
"""


@dataclass(frozen=True)
class Report:
    """A data set at a resolution: the side in pixels of a square image, whose sides a model has divisible by
    `multiple`.
    """

    dataset: Dataset
    resolution: int
    multiple: int

    @property
    def is_clean(self) -> bool:
        """Return whether every file is used."""
        return not self.dataset.problems and not self.dataset.duplicates

    def bucket(self, example: Example) -> tuple[int, int]:
        return bucket_for(*example.size, self.resolution, self.multiple)

    def notes(self, example: Example) -> list[str]:
        """Return what is odd about an image that is used."""
        notes = [note.fault for note in self.dataset.notes if note.name == example.name]
        wide, high = self.bucket(example)
        scale = max(wide / example.size[0], high / example.size[1])
        return [*notes, *([f"is enlarged {scale:.1f} times: a larger one is better."] if scale > 1 else [])]


def summary(report: Report) -> str:
    dataset = report.dataset
    buckets = {report.bucket(example) for example in dataset.examples}
    parts = [f"{counted(len(dataset.examples), 'image')} in {counted(len(buckets), 'bucket')}"]
    if dataset.problems:
        parts.append(f"{counted(len(dataset.problems), 'file')} left out")
    if dataset.duplicates:
        parts.append(counted(len(dataset.duplicates), "duplicate"))
    return ", ".join(parts) + f"; resolution {report.resolution}."


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def rows(report: Report) -> list[tuple[str, ...]]:
    """Return (name, size, bucket, caption, fault) of each file, those that are used first."""
    used: list[tuple[str, ...]] = [
        (
            example.name,
            times(example.size),
            times(report.bucket(example)),
            printable(example.caption),
            " ".join(report.notes(example)),
        )
        for example in report.dataset.examples
    ]
    return used + left_out(report.dataset)


def left_out(dataset: Dataset) -> list[tuple[str, ...]]:
    faults: list[tuple[str, ...]] = [(problem.name, "", "", "", problem.fault) for problem in dataset.problems]
    return faults + [(name, "", "", "", f"the same pixels as {other}") for name, other in dataset.duplicates]


def times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def table(report: Report) -> list[str]:
    """Return the lines of a table, each column as wide as it needs to be, the last uncut."""
    texts = [COLUMNS, *rows(report)]
    texts = [(*(printable(text, wide) for text, wide in zip(row[:-1], WIDTHS, strict=False)), row[-1]) for row in texts]
    widths = [max(len(row[k]) for row in texts) for k in range(len(COLUMNS) - 1)]
    return [
        "  ".join([*(text.ljust(wide) for text, wide in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in texts
    ]


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON has it; sizes as [width, height], boxes as [left, top, right, bottom] in pixels."""
    dataset = report.dataset
    images = [
        {
            "name": example.name,
            "size": list(example.size),
            "bucket": list(report.bucket(example)),
            "crop": [round(edge, 2) for edge in crop_box(*example.size, report.bucket(example))],
            "caption": example.caption,
            "notes": report.notes(example),
            "digest": f"sha256:{example.digest}",
        }
        for example in dataset.examples
    ]
    return {
        "resolution": report.resolution,
        "images": images,
        "problems": [{"name": problem.name, "fault": problem.fault} for problem in dataset.problems],
        "duplicates": [{"name": name, "same_as": other} for name, other in dataset.duplicates],
        "digest": f"sha256:{dataset.digest}",
    }


def write_report(path: Path, title: str, report: Report) -> None:
    """Write one HTML page with every image inside, what is cut off dimmed, its caption below. Raises OSError."""
    cells = "".join(cell(report, example) for example in report.dataset.examples)
    faults = "".join(f"<tr><td>{shown(row[0])}</td><td>{shown(row[-1])}</td></tr>" for row in left_out(report.dataset))
    body = f"{GRID}<main>{cells}</main>\n" + (f"<h2>Left out</h2>\n<table>{faults}</table>\n" if faults else "")
    facts = [summary(report), "What is dimmed is cut off. Below each image: its size, its bucket, its caption."]
    write_page(path, printable(title), facts, body)


def cell(report: Report, example: Example) -> str:
    bucket = report.bucket(example)
    notes = "".join(f'<p class="bad">{shown(note)}</p>' for note in report.notes(example))
    return f"""<figure><img src="{thumbnail(example.image, bucket)}" alt="{shown(example.name)}">
<figcaption>{shown(example.name)}: {times(example.size)}, {times(bucket)}</figcaption>
<p>{shown(example.caption)}</p>{notes}</figure>
"""


def shown(text: str) -> str:
    return html.escape(printable(text, MAX_CAPTION), quote=True)


def preview(image: Image.Image) -> Image.Image:
    """Return all of an image, small: what a report needs of it."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return small


def thumbnail(image: Image.Image, bucket: tuple[int, int]) -> str:
    """Return a data URL of a small JPEG in which what the bucket cuts off is dark."""
    small = preview(image)
    left, top, right, bottom = (round(edge) for edge in crop_box(*small.size, bucket))
    sheet = small.point([int(value * DIMMED) for value in range(256)] * 3)
    sheet.paste(small.crop((left, top, right, bottom)), (left, top))
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
