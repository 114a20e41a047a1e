"""Which files of a folder a Docker build gets to see, by the rules of .dockerignore.

The rules are those of Docker's manual and of moby/patternmatcher: one pattern a line, relative to the folder; `*` and
`?` stop at a slash, `**` does not; `!` brings files back; the last pattern that fits decides; a pattern that fits a
folder fits all inside. tests/unit/test_build_context.py compares the result with a real engine's where there is one.
"""

import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

SPECIAL = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Rule:
    pattern: str
    keeps: bool  # written with "!"

    def fits(self, path: str) -> bool:
        """Whether the pattern names the path itself or a folder around it."""
        regex = re.compile(to_regex(self.pattern))
        parts = path.split("/")
        return any(regex.fullmatch("/".join(parts[: k + 1])) for k in range(len(parts)))


def to_regex(pattern: str) -> str:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    return "".join(SPECIAL.get(piece) or (piece if piece.startswith("[") else re.escape(piece)) for piece in pieces)


def parse_rules(text: str) -> list[Rule]:
    rules = []
    for line in text.splitlines():
        pattern = "" if line.startswith("#") else line.strip()
        keeps, pattern = pattern.startswith("!"), pattern.removeprefix("!").strip()
        if pattern:
            rules.append(Rule(posixpath.normpath(pattern).lstrip("/"), keeps))
    return rules


def is_ignored(path: str, rules: list[Rule]) -> bool:
    fitting = [rule for rule in rules if rule.fits(path)]
    return bool(fitting) and not fitting[-1].keeps


def build_context(root: Path, rules: list[Rule]) -> dict[str, int]:
    """Path, relative to `root`, and bytes of every file that a build of `root` gets."""
    sizes = {}
    for folder, folders, names in os.walk(root):
        prefix = "" if folder == str(root) else Path(folder).relative_to(root).as_posix() + "/"
        folders[:] = [name for name in folders if may_hold_files(prefix + name, rules)]
        for path in (prefix + name for name in names):
            if not is_ignored(path, rules):
                sizes[path] = (root / path).lstat().st_size
    return sizes


def may_hold_files(folder: str, rules: list[Rule]) -> bool:
    """False for a folder whose files are all ignored: .venv and .git are not walked through.

    A `!` with a wildcard reaches into an ignored folder with BuildKit alone, so it does not count.
    """
    kept = (rule.pattern for rule in rules if rule.keeps)
    return not is_ignored(folder, rules) or any(pattern.startswith(f"{folder}/") for pattern in kept)
