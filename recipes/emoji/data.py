"""The training data: named icons drawn on white canvases, and the captions that stand for each.

Icons are Microsoft's Fluent Emoji, flat style (MIT), as SVG from the npm package `@iconify-json/fluent-emoji-flat`;
further words for each name come from `emojibase-data` (MIT). Both archives are pinned by SHA-256.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from easel.sizes import ASPECT_RATIOS, size_for
from easel.training.measure import pool

WORK = Path(".cache/emoji")  # everything the recipe makes on the way; outside git, safe to delete

ARCHIVES = {  # npm package -> SHA-256 of its archive
    "@iconify-json/fluent-emoji-flat@1.2.6": "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    "emojibase-data@17.0.0": "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
}

# Left out: "People & Body" (six skin tones of each), "Symbols" (mostly letters in squares) and "Flags".
CATEGORIES = [
    "Activities",
    "Animals & Nature",
    "Food & Drink",
    "Objects",
    "Smileys & Emotion",
    "Travel & Places",
]

SQUARE = (128, 128)  # width, height in pixels
# The sizes of predict.py's other aspect ratios, wide and tall.
OTHER_SIZES = sorted({size_for(ratio, SQUARE[0] * SQUARE[1], 16) for ratio in ASPECT_RATIOS} - {SQUARE})

# Root mean square distance of two 16 x 16 average-pooled icons (0 to 255) below which they are the same picture for
# a model of this size: some moons, mailboxes, speakers and smileys. The first in Unicode's order stays.
NEAR_DUPLICATE = 20.0
CLOCK_FACE = re.compile("oclock$|thirty$")  # 24 icons that differ in two thin lines

TEMPLATES = ["{}", "{}", "{}", "a {}", "a {}", "{} emoji", "an emoji of a {}", "a picture of a {}"]
TAG_OWNERS = 2  # a tag shared by more names than this says too little by itself
PHRASES = 24  # of an icon: several of its tags, shared ones too, put together
PHRASE_TEMPLATES = ["{} {} {}", "{} {}", "a {} with {}", "{} and {} {}", "a {} {}"]


@dataclass(frozen=True)
class Icon:
    name: str  # the icon set's name, as words: "red apple"
    svg: str
    captions: tuple[str, ...]  # texts made of the name
    tags: tuple[str, ...]  # other words for it
    phrases: tuple[str, ...]  # "reptile with shell"


def fetch(package: str, folder: Path) -> Path:
    """Download one npm archive, checked against its pinned SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    if not shutil.which("npm"):
        raise SystemExit("The icons come from the npm registry: install Node.js with npm, then run this again.")
    path = folder / (package.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not path.exists():
        done = subprocess.run(
            ["npm", "pack", package, "--silent", "--pack-destination", folder],
            check=True,
            capture_output=True,
            text=True,
        )
        (folder / done.stdout.strip()).replace(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != ARCHIVES[package]:
        raise SystemExit(f"{path} has SHA-256 {digest}, but {ARCHIVES[package]} is expected: delete it and try again.")
    return path


def read_member(archive: Path, member: str) -> dict[str, Any]:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"package/{member}")
        assert file, f"{member} is no file"
        content: dict[str, Any] = json.load(file)
        return content


def words(name: str) -> str:
    return {"piata": "pinata"}.get(name, re.sub(r"[^a-z0-9]+", " ", name.lower()).strip())


def read_icons(folder: Path = WORK) -> list[Icon]:
    """All icons of CATEGORIES, in Unicode's order (the common ones first), with their captions and tags."""
    icon_archive, word_archive = (fetch(package, folder / "npm") for package in ARCHIVES)
    bodies = read_member(icon_archive, "icons.json")["icons"]
    categories = read_member(icon_archive, "metadata.json")["categories"]
    names = [name for category in CATEGORIES for name in categories[category]]
    names = [name for name in names if name in bodies and not CLOCK_FACE.search(name)]
    listed: Any = read_member(word_archive, "en/data.json")  # a list
    entries = {words(entry["label"]): entry for entry in listed}
    names.sort(key=lambda name: entries.get(words(name), {}).get("order", len(entries)))
    tags_of = {text: entry.get("tags", []) for text, entry in entries.items()}
    owners = Counter(tag for name in names for tag in set(tags_of.get(words(name), [])))
    taken = {words(name) for name in names}
    icons, held_out = [], set(read_synonyms())
    for name in names:
        text = words(name)
        tags = [t for t in tags_of.get(text, []) if len(t) > 2 and owners[t] <= TAG_OWNERS and words(t) not in taken]
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{bodies[name]["body"]}</svg>'
        captions = tuple(dict.fromkeys(template.format(text) for template in TEMPLATES))
        phrases = make_phrases(text, tags_of.get(text, []))
        icons.append(
            Icon(text, svg, *(tuple(t for t in texts if t not in held_out) for texts in (captions, tags, phrases)))
        )
    return icons


def make_phrases(name: str, tags: list[str]) -> list[str]:
    """Up to PHRASES different texts of two or three tags each; the same at every run."""
    random = np.random.default_rng(list(name.encode()))
    phrases = set()
    for _ in range(PHRASES if len(tags) > 2 else 0):
        template = PHRASE_TEMPLATES[random.integers(len(PHRASE_TEMPLATES))]
        phrases.add(template.format(*random.choice(tags, template.count("{}"), replace=False)))
    return sorted(phrases)


def read_synonyms() -> dict[str, str]:
    """The prompts that no caption may equal, for the evaluation -> the name that each means."""
    synonyms: dict[str, str] = yaml.safe_load((Path(__file__).parent / "synonyms.yaml").read_text())
    return synonyms


def render(svg: str, size: tuple[int, int]) -> np.ndarray:
    """Draw an icon in the middle of a white canvas, 1/32 of the short side free around it.

    Returns (height, width, 3) uint8.
    """
    import io

    import resvg_py
    from PIL import Image

    width, height = size
    side = min(size) - 2 * (min(size) // 32)
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side))
    icon = Image.open(io.BytesIO(png)).convert("RGBA")
    canvas = Image.new("RGBA", size, "white")
    canvas.alpha_composite(icon, ((width - icon.width) // 2, (height - icon.height) // 2))
    return np.asarray(canvas.convert("RGB"))


def keep_distinct(icons: list[Icon], images: np.ndarray) -> list[int]:
    """Indices of icons that differ from every one kept before them by more than NEAR_DUPLICATE."""
    pooled = pool(images)
    kept: list[int] = []
    for i in range(len(icons)):
        distances = np.sqrt(((pooled[kept] - pooled[i]) ** 2).mean(axis=1)) if kept else np.array([np.inf])
        if distances.min() > NEAR_DUPLICATE:
            kept.append(i)
    return kept


def digest_of(icons: list[Icon]) -> str:
    """Stands for the pictures of these icons in the names of files made from them."""
    return hashlib.sha256("".join(icon.name + icon.svg for icon in icons).encode()).hexdigest()[:12]


def load_dataset(folder: Path = WORK) -> tuple[list[Icon], np.ndarray]:
    """The distinct icons and their square pictures (N, 128, 128, 3) uint8; drawn once, then read from `folder`."""
    icons = read_icons(folder)
    path = folder / f"square-{digest_of(icons)}.npy"
    if path.exists():
        images = np.load(path)
    else:
        images = np.stack([render(icon.svg, SQUARE) for icon in tqdm(icons, desc="drawing")])
        with path.with_suffix(".tmp").open("wb") as stream:
            np.save(stream, images)
        path.with_suffix(".tmp").replace(path)
    kept = keep_distinct(icons, images)
    return [icons[i] for i in kept], images[kept]


if __name__ == "__main__":
    icons, images = load_dataset()
    texts = {text for icon in icons for text in (*icon.captions, *icon.tags)}
    print(f"{len(icons)} icons, {len(texts)} captions")
