"""A model for tests of what stands in front of one: it takes as long as it is told to, and ends as it is told to."""

import os
import tempfile
import time

from cog import BaseRunner, Input, Path, Secret


class Runner(BaseRunner):
    def run(
        self,
        seconds: float = Input(default=0, ge=0, le=60, description="How long it takes."),
        count: int = Input(default=1, ge=0, le=4, description="How many files it makes."),
        text: str = Input(default="", description="What stands in the files."),
        end: str = Input(default="well", choices=["well", "failed", "dead"], description="How it ends."),
        file: Path | None = Input(default=None, description="Its content stands in the files too."),
        secret: Secret | None = Input(default=None, description="Is never shown."),
    ) -> list[Path]:
        """Make `count` text files."""
        steps = max(1, round(seconds / 0.05))
        for step in range(steps):
            print(f"{100 * step // steps:3d}%|     | {step}/{steps} [00:00<00:00, 9.9it/s]", flush=True)
            time.sleep(seconds / steps)
        if end == "failed":
            raise ValueError("InputError: text: it was told to fail")
        if end == "dead":
            os._exit(9)
        content = text.encode() + (file.read_bytes() if file else b"")
        content += str(len(secret.get_secret_value())).encode() if secret else b""
        folder = Path(tempfile.mkdtemp())
        for k in range(count):
            (folder / f"{k}.txt").write_bytes(content)
        return [Path(folder / f"{k}.txt") for k in range(count)]
