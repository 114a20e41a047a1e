"""A model's README, which a stranger wrote, as HTML that can run nothing.

Its Markdown may hold HTML, as GitHub shows it. Of that only <img> and text are kept. An image is shown if it comes by
https; of one that lies in the model's repository, which the API does not have, the words that stand for it.
"""

import html
import re
from typing import Any

import nh3
from markdown_it import MarkdownIt

LINK = re.compile(r"(?i)(https?://|mailto:)")
IMAGE = re.compile(r"(?i)https://")
MOST_CHARACTERS = 200_000


def render(text: str) -> str:
    """Return the HTML of the first 200,000 characters."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.add_render_rule("html_inline", render_html)
    parser.add_render_rule("html_block", render_html)
    parser.add_render_rule("image", render_image)
    parser.add_render_rule("link_open", render_link)
    parser.add_render_rule("heading_open", render_heading)
    rendered: str = parser.render(text[:MOST_CHARACTERS])
    return rendered


def render_html(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    return clean_html(tokens[index].content)


def clean_html(text: str) -> str:
    """Return the <img> elements and the text of some HTML. One that does not come by https keeps only its words."""
    return nh3.clean(
        text,
        tags={"img"},
        attributes={"img": {"src", "alt", "width", "height", "title"}},
        attribute_filter=lambda tag, name, value: value if name != "src" or IMAGE.match(value) else None,
        set_tag_attribute_values={"img": {"loading": "lazy", "referrerpolicy": "no-referrer"}},
    )


def render_image(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    alt = self.renderInlineAsText(token.children, options, env)
    return clean_html(f'<img src="{html.escape(str(token.attrs.get("src", "")))}" alt="{html.escape(alt)}">')


def render_link(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """Elsewhere in a tab of its own; to a file of the model's repository nowhere, since the API does not have it."""
    target = str(tokens[index].attrs.get("href", ""))
    if target.startswith("#"):
        return f'<a href="#readme-{html.escape(target[1:])}">'
    if LINK.match(target):
        return f'<a href="{html.escape(target)}" target="_blank" rel="noopener noreferrer">'
    return f'<a class="in-repository" title="{html.escape(target)}">'


def render_heading(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """Return the heading one level down: the page has a title of its own."""
    level = min(6, int(tokens[index].tag[1]) + 1)
    tokens[index + 2].tag = f"h{level}"
    name = re.sub(r"[^\w -]", "", tokens[index + 1].content.lower()).replace(" ", "-")
    return f'<h{level} id="readme-{html.escape(name)}">'
