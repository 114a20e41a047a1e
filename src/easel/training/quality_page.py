"""report.html of a training: figures, images before and after, loss, settings, in one file without scripts."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from easel.publish.contact_sheet import page_text
from easel.training.curve import loss_image
from easel.training.dataset import Dataset
from easel.training.quality import Drawn, Quality
from easel.training.text import printable

THUMBNAIL = 256  # pixels of a side
SHOWN_OF_SET = 12
LAYOUT = """<style>
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; margin: .6rem 0; }
.set { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .3rem; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: .3rem; }
.grid img, .set img { width: 100%; max-height: none; margin: 0; }
td, th { padding: .15rem 1.2rem .15rem 0; vertical-align: top; text-align: left; overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
h2 { margin-top: 2rem; }
</style>
"""


def report_page(
    dataset: Dataset,
    quality: Quality,
    settings: Mapping[str, Any],
    metadata: Mapping[str, str],
    losses: Sequence[float],
) -> str:
    """Return the page. `settings` are the inputs as config.yaml has them, `metadata` what the LoRA's file says."""
    word = printable(str(settings["trigger_word"]))
    found = quality.figures
    facts = [
        f'Images of "{word}" are {found["to_set"]} from the nearest image of the set, {found["to_set_before"]} without '
        f"the LoRA. Of {found['prompts']} other prompts {found['prompts_kept']} keep their image: these moved by "
        f"{found['drift']}, and are {found['between_prompts']} from the nearest of another prompt.",
        f"The measure. {quality.measure.what} 0 is the same image.",
        "Every image of the set was trained on. Held out are the seeds of the images below, and of their prompts all "
        f'but "{word}". Those of other prompts were drawn in half the steps, since their change alone counts.',
    ]
    body = [
        LAYOUT,
        figures_table(found, word),
        section(f'"{word}"', quality.trigger),
        section(f'"{word}" in prompts that are not in the set', quality.unseen),
        section("Other prompts, which should stay as they were", quality.unrelated),
        f"<h2>The set</h2>\n{set_grid(dataset)}",
        f'<h2>Loss</h2>\n<img src="{data_url(loss_image(losses), "PNG")}" alt="loss by step">',
        f"<h2>Settings</h2>\n{table([(name, str(value)) for name, value in settings.items()])}",
        f"<h2>What the file says</h2>\n{table(list(metadata.items()))}",
    ]
    return page_text(f'What the training of "{word}" did', facts, "\n".join(body))


def figures_table(found: Mapping[str, float], word: str) -> str:
    rows = [
        (f'"{word}" to the nearest image of the set', found["to_set_before"], found["to_set"]),
        (f'"{word}" in other prompts, to the same', found["unseen_to_set_before"], found["unseen_to_set"]),
        ("an image of the set to the nearest other one", found["within_set"], ""),
        ("other prompts, each to its image before (drift)", 0, found["drift"]),
        ("other prompts, each to the nearest of another prompt", found["between_prompts"], ""),
        (
            f"of {found['prompts']} other prompts, nearest to their own image before",
            found["prompts"],
            found["prompts_kept"],
        ),
    ]
    lines = "".join(
        f'<tr><td>{shown(what)}</td><td class="number">{before}</td><td class="number">{after}</td></tr>'
        for what, before, after in rows
    )
    return (
        '<div class="wide"><table><tr><th>average distance</th><th>without the LoRA</th><th>with it</th></tr>'
        f"{lines}</table></div>"
    )


def section(title: str, drawn: Sequence[Drawn]) -> str:
    return f'<h2>{shown(title)}</h2>\n<div class="grid">{"".join(map(pair, drawn))}</div>'


def pair(one: Drawn) -> str:
    texts = one.prompt if one.prompt == one.plain else f"{one.plain} / {one.prompt}"
    images = "".join(
        f'<img src="{image_url(image)}" alt="{shown(f"{prompt}, {which} the LoRA")}">'
        for image, prompt, which in ((one.before, one.plain, "without"), (one.after, one.prompt, "with"))
    )
    return (
        f'<figure><div class="two">{images}</div><figcaption>{shown(texts)}, seed {one.seed}: without, with'
        "</figcaption></figure>\n"
    )


def set_grid(dataset: Dataset) -> str:
    some = dataset.examples[:SHOWN_OF_SET]
    images = "".join(
        f'<figure><img src="{image_url(example.image)}" alt="{shown(example.name)}"><figcaption>'
        f"{shown(example.caption)}</figcaption></figure>"
        for example in some
    )
    rest = len(dataset.examples) - len(some)
    return f'<div class="set">{images}</div>' + (f"<p>and {rest} more</p>" if rest else "")


def table(rows: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><td>{shown(name)}</td><td>{shown(value)}</td></tr>" for name, value in rows)
    return f'<div class="wide"><table>{lines}</table></div>'


def shown(text: str) -> str:
    return html.escape(printable(text), quote=True)


def image_url(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return data_url(small, "JPEG", quality=85)


def data_url(image: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
