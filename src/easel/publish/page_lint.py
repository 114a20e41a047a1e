"""The schema and the README as what Replicate makes of them: the model's page."""

import re
from pathlib import Path
from typing import Any

from easel.schema.compat import inputs_of

IMAGE = re.compile(r"""!\[[^\]]*\]\(([^)\s]+)|<img\b[^>]*\bsrc=["']([^"']+)""")
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
WITHOUT_LENGTH = ("uri", "password")  # files and secrets


def lint_schema(document: dict[str, Any]) -> list[str]:
    """Return a sentence for each input that the page would show without what a caller needs to know of it."""
    schema = document.get("components", {}).get("schemas", {}).get("Input", {})
    inputs = inputs_of(document)
    if not inputs:
        return ["the schema has no inputs"]
    problems = [
        f"{name}: {problem}"
        for name, published in inputs.items()
        for problem in lint_input(published, required=name in schema.get("required", []))
    ]
    if sorted(published.get("x-order", -1) for published in inputs.values()) != list(range(len(inputs))):
        problems.append("the inputs are not numbered from 0 by x-order, so the page would show them in any order")
    return problems


def lint_input(published: dict[str, Any], *, required: bool) -> list[str]:
    problems = []
    description = published.get("description", "").strip()
    if not description or description == "An enumeration.":
        problems.append("has no description")
    elif not description.endswith("."):
        problems.append("its description does not end in a full stop")
    if required == ("default" in published):
        problems.append("is required and has a default" if required else "is optional and has no default")
    kind, default = published.get("type"), published.get("default")
    choices = published.get("enum")
    if choices:
        if not required and default not in choices and default is not None:
            problems.append(f"its default {default!r} is not among its choices")
    elif kind in ("integer", "number"):
        problems += [f"has no {key}" for key in ("minimum", "maximum") if key not in published]
        if default is not None and not published.get("minimum", default) <= default <= published.get(
            "maximum", default
        ):
            problems.append(f"its default {default} is outside of its limits")
    elif kind == "string" and published.get("format") not in WITHOUT_LENGTH and "maxLength" not in published:
        problems.append("has no maxLength")
    return problems


def lint_readme(root: Path, document: dict[str, Any]) -> list[str]:
    """Return what the README lacks as the page's text: an image, an example call, and every input."""
    path = root / "README.md"
    if not path.is_file():
        return ["README.md is missing: it is the text of the model's page"]
    text = path.read_text(encoding="utf-8")
    problems = []
    images = [first or second for first, second in IMAGE.findall(text)]
    if not images:
        problems.append("README.md shows no image")
    problems += [
        f"README.md shows {image}, which is not there"
        for image in images
        if "://" not in image and not (root / image).is_file()
    ]
    if not any("prompt" in block for block in FENCED.findall(text)):
        problems.append("README.md has no example: a fenced block that sends a prompt")
    problems += [
        f"README.md does not name the input `{name}`" for name in inputs_of(document) if f"`{name}`" not in text
    ]
    return problems
