"""The outcomes as a table for people, as one JSON line, and as the table in docs/benchmarks.md."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_check.context import REPOSITORY
from gpu_check.rows import ROWS, Outcome

PAGE = REPOSITORY / "docs" / "benchmarks.md"
KEPT = REPOSITORY / "docs" / "gpu"  # one JSON file for each card
BEGIN, END = "<!-- script/gpu-check --table writes from here -->\n", "<!-- to here -->\n"
NONE = "not run on a GPU"


def table_line(outcome: Outcome) -> str:
    wanted = f"  (wanted: {outcome.wanted})" if outcome.wanted else ""
    return f"{outcome.name:<27} {outcome.result:<8} {outcome.measured}{wanted}"


def to_document(outcomes: Sequence[Outcome], tiny: bool, seconds: float, date: str) -> dict[str, Any]:
    """What `--out` and the last line of the output hold."""
    versions = next((one.figures for one in outcomes if one.name == "machine.versions"), {})
    rows = [one.to_json() for one in outcomes]
    return {"check": "gpu", "tiny": tiny, "date": date, "seconds": round(seconds, 1), "machine": versions, "rows": rows}


def keep(path: Path) -> Path:
    """Copy a run's JSON to docs/gpu under the name of its card. Raises ValueError for what is no run on a card."""
    try:
        document = json.loads(path.read_text())
        card = document["machine"]["card"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not what script/gpu-check --out writes ({error}).") from None
    if document["tiny"]:
        raise ValueError(f"{path} is a run of the tiny sizes, and the table is of cards. Run it without --tiny.")
    target = KEPT / f"{re.sub(r'[^a-z0-9]+', '-', card.lower()).strip('-')}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n")
    return target


def markdown_table(documents: Sequence[dict[str, Any]]) -> str:
    """A row for each row of the check, a column for each card; without any card, that nothing was run."""
    heads = [f"{one['machine']['card']}, {one['date']}" for one in documents] or [NONE]
    lines = [f"| row | what | {' | '.join(heads)} |", "|---" * (2 + len(heads)) + "|"]
    for row in ROWS:
        cells = [cell(one, row.name) for one in documents] or [NONE]
        lines.append(f"| `{row.name}` | {row.what} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(document: dict[str, Any], name: str) -> str:
    outcome = next((Outcome(**one) for one in document["rows"] if one["name"] == name), None)
    if outcome is None:
        return "not run"
    wanted = f" (wanted: {outcome.wanted})" if outcome.wanted else ""
    return f"**{outcome.result}**: {outcome.measured}{wanted}".replace("|", "\\|")


def page_with_table(page: str) -> str:
    """The text of docs/benchmarks.md with the table of all runs in docs/gpu."""
    documents = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + markdown_table(documents) + END + rest.partition(END)[2]
