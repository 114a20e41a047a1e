"""One page with the old and the new images of every case side by side: what a person looks at before a release."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TYPES = {".webp": "image/webp", ".jpg": "image/jpeg", ".png": "image/png"}
STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c22; --good: #183; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0; }
p { margin: .2rem 0; overflow-wrap: anywhere; }
code { font-size: .85em; overflow-wrap: anywhere; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; margin-top: .6rem; }
figure { margin: 0; }
figcaption { color: GrayText; font-size: .85rem; }
img { max-width: 100%; max-height: 320px; border: 1px solid var(--line); margin: 0 .3rem .3rem 0; vertical-align: top; }
.bad { color: var(--bad); }
.good { color: var(--good); }
@media (prefers-color-scheme: dark) { :root { --bad: #f77; --good: #7d9; } }
"""


@dataclass(frozen=True)
class Row:
    """A case: what was sent, what came from the old and from the new version, and what is wrong with the new one."""

    name: str
    inputs: str
    old: Sequence[Path]
    new: Sequence[Path]
    old_note: str
    new_note: str
    problems: Sequence[str] = ()
    same: bool | None = None  # whether old and new are equal; None where there is nothing to compare


def write_sheet(path: Path, title: str, facts: Sequence[str], rows: Sequence[Row]) -> None:
    bad = sum(bool(row.problems) for row in rows)
    verdict = (
        f'<span class="bad">{bad} of {len(rows)} cases are wrong</span>'
        if bad
        else f"{len(rows)} of {len(rows)} cases are right"
    )
    changed = sum(row.same is False for row in rows)
    counts = f"<p>{verdict}; {changed} with other images than before.</p>\n"
    write_page(path, title, facts, counts + "".join(section(row) for row in rows))


def write_page(path: Path, title: str, facts: Sequence[str], body: str) -> None:
    """Write the page of `page_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_text(title, facts, body), encoding="utf-8")


def page_text(title: str, facts: Sequence[str], body: str) -> str:
    """Return an HTML page: a heading, a paragraph for each fact, and `body`, which is HTML."""
    told = "".join(f"<p>{html.escape(fact)}</p>" for fact in facts)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
<h1>{html.escape(title)}</h1>
{told}
{body}
</html>
"""


def section(row: Row) -> str:
    state = {None: "nothing to compare with", True: "the same pixels as before", False: "other pixels than before"}
    verdict = "".join(f'<p class="bad">{html.escape(problem)}</p>' for problem in row.problems)
    return f"""<section>
<h2>{html.escape(row.name)}</h2>
<p><code>{html.escape(row.inputs)}</code></p>
{verdict or f'<p class="good">right; {state[row.same]}</p>'}
<div class="pair">
{figure("old", row.name, row.old, row.old_note)}
{figure("new", row.name, row.new, row.new_note)}
</div>
</section>
"""


def figure(which: str, name: str, files: Sequence[Path], note: str) -> str:
    alt = html.escape(f"{which}: {name}", quote=True)
    images = "".join(f'<img src="{data_url(path)}" alt="{alt}">' for path in files) or "<p>no image</p>"
    return f"<figure>{images}<figcaption>{which}: {html.escape(note)}</figcaption></figure>"


def data_url(path: Path) -> str:
    kind = TYPES.get(path.suffix, "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
