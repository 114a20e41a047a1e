"""Step 4: the cases on the staged version and on the live one, checked, and shown side by side."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easel.local.console import print_status
from easel.publish.cases import Case, CaseRun, check_runs, given_as_text, pixels, run_once, summary
from easel.publish.contact_sheet import Row, write_sheet
from easel.publish.replicate_api import RefusedError, Replicate
from easel.publish.state import State

RUNS = ("first", "second")


@dataclass(frozen=True)
class Staging:
    """The two versions, the price of a second of both in USD, and where images go."""

    api: Replicate
    version: str
    live: str | None
    price: float
    state: State
    folder: Path
    samples: Path  # the committed images, shown where nothing is live

    def run(self, case: Case) -> tuple[Row, str]:
        """Run a case to its end, and return one line about it."""
        keys = ("cases", self.version, case.name)
        if self.state.get(*keys, "wrong"):
            self.state.set(*keys, value={})
        done = all(self.state.get(*keys, name, "status") for name in RUNS)
        runs = [run_once(self.api, self.version, case, self.state, (*keys, name), self.folder / "new") for name in RUNS]
        problems = check_runs(case, runs)
        if problems:
            self.state.set(*keys, "wrong", value=problems)
        old, old_note = self.old(case)
        new = runs[0].files
        line = f"{case.name}: {summary(case, runs, self.price)}"
        print_status(f"  {line}{' (already run)' if done else ''}{''.join(f' -- {problem}' for problem in problems)}")
        seconds = " and ".join("?" if run.predict_s is None else f"{run.predict_s:.2f} s" for run in runs)
        row = Row(
            name=case.name,
            inputs=given_as_text(case),
            old=old,
            new=new,
            old_note=old_note,
            new_note=f"version {self.version[:12]}, {seconds}, USD {cost(runs, self.price)} a run",
            problems=problems,
            same=pixels(tuple(old)) == pixels(new) if old and new else None,
        )
        return row, line

    def old(self, case: Case) -> tuple[Sequence[Path], str]:
        """Return what the live version makes of it; it may know less than the new one, which is no fault of either."""
        if self.live is None:
            name = re.compile(rf"{re.escape(case.name)}(\.\d+)?\.\w+")
            committed = sorted(path for path in self.samples.glob("*") if name.fullmatch(path.name))
            return committed, "samples/outputs" if committed else "none: no version is live"
        keys = ("cases", self.live, case.name, "old")
        try:
            run = run_once(self.api, self.live, case, self.state, keys, self.folder / "old")
        except RefusedError as error:
            return [], f"version {self.live[:12]}: {error}"
        seconds = "" if run.predict_s is None else f", {run.predict_s:.2f} s, USD {cost([run], self.price)}"
        return run.files, f"version {self.live[:12]}{seconds}{': ' + run.error if run.error else ''}"


def cost(runs: Sequence[CaseRun], price: float) -> str:
    """Of one of them, on average."""
    return f"{sum(run.predict_s or 0 for run in runs) / len(runs) * price:.6f}"


def run_all(staging: Staging, cases: Sequence[Case], title: str) -> tuple[list[str], list[str]]:
    """Lines about the cases, and what is wrong with them. The sheet is written whatever the outcome."""
    rows, lines = [], []
    try:
        for case in cases:
            row, line = staging.run(case)
            rows.append(row)
            lines.append(line)
    finally:
        if rows:
            old = f"version {staging.live}" if staging.live else "samples/outputs, since no version is live"
            facts = [f"old: {old}", f"new: version {staging.version}", f"USD {staging.price:.6f} a second"]
            write_sheet(staging.folder / "contact-sheet.html", title, facts, rows)
    problems = [f"{row.name}: {problem}" for row in rows for problem in row.problems]
    return lines, problems
