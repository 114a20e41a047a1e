"""The report's plots, by plotly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from easel.platforms.choose import Row
from easel.platforms.fleet import BINS
from easel.platforms.simulate import bin_edges
from easel.platforms.traffic import HOUR, Traffic
from easel.platforms.volumes import VOLUMES, Curve

STAGES = {"setup": "#d1495b", "idle": "#edae49", "active": "#00798c"}
LINES = ["#00798c", "#d1495b", "#edae49", "#30638e", "#6a4c93", "#3d405b", "#81b29a", "#b56576", "#8d99ae", "#003d5b"]
DASHES = ("dash", "dot", "solid", "dashdot")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def bill(rows: Sequence[Row]) -> Any:
    """Return the month's bill of each setting by what it is for, with the range as a line."""
    names = [row.name for row in rows]
    bars = [
        go.Bar(
            name=stage,
            y=names,
            x=[row.usd_per_month() * row.shares().get(stage, 0.0) for row in rows],
            orientation="h",
            marker_color=color,
        )
        for stage, color in STAGES.items()
    ]
    ranges = [row.usd_range() for row in rows]
    middle = [row.usd_per_month() for row in rows]
    marks = go.Scatter(
        name="from least to most",
        y=names,
        x=middle,
        mode="markers",
        marker={"color": "#222", "size": 7, "symbol": "line-ns-open"},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - value for (_, high), value in zip(ranges, middle, strict=True)],
            "arrayminus": [value - low for (low, _), value in zip(ranges, middle, strict=True)],
            "color": "#222",
            "thickness": 1.2,
        },
    )
    layout = {"barmode": "stack", "yaxis": {"autorange": "reversed"}, "xaxis": {"title": "US dollars a month"}}
    return figure([*bars, marks], layout, height=120 + 34 * len(rows))


def latencies(rows: Sequence[Row]) -> Any:
    """Return the share of requests that took longer than each time, on logarithmic axes."""
    edges = bin_edges()[1:]
    lines = []
    for row, line in zip(rows, styles([row.name for row in rows]), strict=True):
        bins = row.likely.latency_bins
        longer = 1 - np.cumsum(bins) / max(bins.sum(), 1)
        shown = np.flatnonzero(bins)
        if shown.size:
            place = np.unique(np.linspace(shown[0], min(shown[-1] + 1, BINS - 1), 160).astype(int))
            lines.append(go.Scatter(name=row.name, x=edges[place], y=np.maximum(longer[place], 1e-5), line=line))
    axes = {
        "xaxis": {"type": "log", "title": "seconds from arrival to image", "dtick": 1},
        "yaxis": {"type": "log", "title": "share of requests that took longer", "range": [-3.3, 0.05]},
    }
    return figure(lines, axes, height=460)


def volumes(curves: Sequence[Curve], now: float) -> Any:
    """Return the month's bill of each setting by requests a day; `now` is this traffic's."""
    lines = [
        go.Scatter(name=curve.name, x=VOLUMES, y=[usd if 0 < usd < 1e12 else None for usd in curve.usd], line=line)
        for curve, line in zip(curves, styles([curve.name for curve in curves]), strict=True)
    ]
    axes = {
        "xaxis": {"type": "log", "title": "requests a day"},
        "yaxis": {"type": "log", "title": "US dollars a month"},
        "shapes": [{"type": "line", "x0": now, "x1": now, "y0": 0, "y1": 1, "yref": "paper", "line": {"dash": "dot"}}],
    }
    return figure(lines, axes, height=480)


def styles(names: Sequence[str]) -> list[dict[str, str]]:
    """Return how to draw each setting's line: colors tell settings apart, dashes the platforms."""
    platforms = sorted({name.partition(",")[0] for name in names})
    return [
        {
            "color": LINES[place % len(LINES)],
            "dash": DASHES[platforms.index(name.partition(",")[0]) % len(DASHES)],
        }
        for place, name in enumerate(names)
    ]


def week(traffic: Traffic) -> Any:
    """Return the traffic's mean requests in each hour of the week."""
    bars = go.Bar(x=list(range(168)), y=traffic.rhythm * HOUR, marker_color=STAGES["active"])
    axes = {
        "xaxis": {"tickvals": list(range(12, 168, 24)), "ticktext": list(DAYS), "title": "days from the first"},
        "yaxis": {"title": "requests an hour"},
        "showlegend": False,
    }
    return figure([bars], axes, height=240)


def figure(traces: list[Any], layout: dict[str, Any], height: int) -> Any:
    common = {
        "template": "plotly_white",
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {"orientation": "h", "y": -0.18},
        "hovermode": "closest",
    }
    one = go.Figure(traces, {**common, **layout})
    one.update_xaxes(automargin=True)
    one.update_yaxes(automargin=True)
    return one
