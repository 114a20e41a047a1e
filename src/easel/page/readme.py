"""A model's README, which a stranger wrote, as HTML that can run nothing.

Its Markdown may hold HTML, as GitHub shows it. Of that only <img> is kept, built anew from the attributes that an image
needs; everything else of it is shown as the text that it is. An image is shown if it comes by https; of one that lies
in the model's repository, which the API does not have, the words that stand for it.
"""

import html
import re
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt

LINK = re.compile(r"(?i)(https?://|mailto:)")
IMAGE = re.compile(r"(?i)https://")
KEPT = ("src", "alt", "width", "height", "title")
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
    return "".join(Images(tokens[index].content).parts)


class Images(HTMLParser):
    """Text with its <img> elements made anew and the rest escaped."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.parts.append(image({name: value or "" for name, value in attrs}))
        else:
            self.parts.append(html.escape(self.get_starttag_text() or ""))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(html.escape(f"</{tag}>"))

    def handle_data(self, data: str) -> None:
        self.parts.append(html.escape(data))

    def handle_entityref(self, name: str) -> None:
        self.parts.append(html.escape(html.unescape(f"&{name};")))

    def handle_charref(self, name: str) -> None:
        self.parts.append(html.escape(html.unescape(f"&#{name};")))


def image(attributes: dict[str, str]) -> str:
    if not IMAGE.match(attributes.get("src", "")):
        return f'<span class="no-image">{html.escape(attributes.get("alt", ""))}</span>'
    written = "".join(f' {name}="{html.escape(attributes[name])}"' for name in KEPT if name in attributes)
    return f'<img{written} loading="lazy" referrerpolicy="no-referrer">'


def render_image(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    alt = self.renderInlineAsText(token.children, options, env)
    return image({"src": str(token.attrs.get("src", "")), "alt": alt})


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
