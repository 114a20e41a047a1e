"""The study as one HTML page that opens anywhere, without a network."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from easel.files import write_atomically
from easel.platforms import charts
from easel.platforms.choose import Row
from easel.platforms.study import RULES, Study, about, sentences
from easel.platforms.volumes import requests_per_day

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: right; padding: 0.3rem 0.5rem; border-bottom: 1px solid #ddd; vertical-align: top; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
tr.best td { background: #e3f4f1; font-weight: 600; } tr.bad td { color: #a33; }
ul.said { font-size: 1.05rem; padding-left: 1.2rem; } .wide { overflow-x: auto; } .note { color: #555; }
"""
LEGEND = (
    "GPU used: the share of the instances' time in which they ran requests. Cold: the share of requests that waited "
    "for the set-up of the instance that ran them. In red: what cannot do this work."
)
COLUMNS = (
    "setting",
    "$ a month",
    "from least to most",
    "$ an image",
    "from least to most",
    "p50 s",
    "p95 s",
    "p99 s",
    "cold",
    "GPU used",
)


def write_report(path: Path, study: Study) -> None:
    """Write the page. The same study gives the same bytes. Raises OSError where it cannot be written."""
    with write_atomically(path) as stream:
        stream.write(page(study).encode())


def page(study: Study) -> str:
    title = f"Where to run it: {study.profile.name}"
    now = requests_per_day(study.traffic)
    said = "".join(f"<li>{html.escape(one)}</li>" for one in sentences(study))
    notes = {row.platform.title: row.platform.notes for row in study.rows}
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="note">{html.escape(study.traffic.facts)}: {now:,.0f} requests a day. Seed {study.seed}. '
        "Simulated by Easel; not run on any platform.</p>",
        f'<ul class="said">{said}</ul>',
        "<h2>This traffic, each setting</h2>",
        f'<div class="wide">{settings_table(study.rows, study.best)}</div>',
        f'<p class="note">{LEGEND}</p>',
        "<h2>What the month's bill is for</h2>",
        plot(charts.bill(study.rows), "bill"),
        f'<div class="wide">{dominating_table(study.rows)}</div>',
        "<h2>How long a request takes</h2>",
        plot(charts.latencies(study.rows), "latencies"),
        "<h2>At other volumes</h2>",
        plot(charts.volumes(study.curves, now), "volumes"),
        f'<div class="wide">{crossings_table(study)}</div>',
        "<h2>Against a price for each image</h2>",
        f'<div class="wide">{utilisation_table(study)}</div>',
        "<h2>The week</h2>",
        plot(charts.week(study.traffic), "week"),
        "<h2>What is assumed</h2>",
        bullets(RULES),
        bullets(f"{title}: {note}" for title, ones in notes.items() for note in ones),
        f'<div class="wide">{assumptions_table(study)}</div>',
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script>"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def plot(figure: Any, name: str) -> str:
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config={"displaylogo": False})
    return text


def settings_table(rows: Sequence[Row], best: Row | None) -> str:
    lines = []
    for row in rows:
        low, high = row.usd_range()
        kind = "best" if row is best else "" if row.keeps_up() else "bad"
        cells = (
            row.name,
            f"{row.usd_per_month():,.2f}",
            f"{low:,.2f} to {high:,.2f}",
            f"{row.usd_per_image():.5f}",
            "{:.5f} to {:.5f}".format(*row.usd_per_image_range()),
            *(f"{seconds:.1f}" for seconds in row.likely.latency),
            f"{row.likely.cold_share:.1%}",
            f"{row.likely.utilisation:.0%}",
        )
        lines.append((kind, cells))
    return table(COLUMNS, lines)


def dominating_table(rows: Sequence[Row]) -> str:
    """Return what each bill is mostly for, and which unknown moves it most."""
    lines = []
    for row in rows:
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in row.shares().items() if share >= 0.005)
        unknown = row.widest_unknown()
        moved = f"{unknown[0]}: ${unknown[1]:,.0f} to ${unknown[2]:,.0f}" if unknown else "nothing unknown moves it"
        lines.append(("", (row.name, shares, moved)))
    return table(("setting", "billed seconds", "what is unknown and moves it most"), lines, "words")


def crossings_table(study: Study) -> str:
    lines = [("", (one, other, about(volume))) for one, other, volume in study.crossings()]
    return table(("above this volume, instead of", "cheaper is", "requests a day"), lines, "words")


def utilisation_table(study: Study) -> str:
    lines = [
        ("", (title, host, f"{usd:g}", f"{share:.0%}" if share <= 1 else "never"))
        for title, host, usd, share in study.utilisations()
    ]
    return table(("a card of", "matches", "$ an image", "when it draws this share of its time"), lines, "words")


def assumptions_table(study: Study) -> str:
    lines = [
        ("bad" if one.stale else "", (one.of, one.name, one.value, one.source, str(one.date or "")))
        for one in study.assumptions()
    ]
    return table(("of", "figure", "value (range)", "source", "read"), lines, "words")


def table(columns: Sequence[str], lines: Iterable[tuple[str, Sequence[str]]], kind: str = "") -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        f'<tr class="{row_kind}">{"".join(f"<td>{html.escape(cell)}</td>" for cell in cells)}</tr>'
        for row_kind, cells in lines
    )
    return f'<table class="{kind}"><tr>{head}</tr>{body}</table>'


def bullets(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"
