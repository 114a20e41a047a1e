"""The files that Cog writes of a request's inputs, in a folder of this process's own."""

import tempfile
from collections.abc import Container
from contextlib import suppress
from pathlib import Path


class Uploads:
    """Cog's worker writes each image and mask with `tempfile` before it calls the runner, and removes it afterwards.

    A cancel that strikes in between leaves one for good. So the whole process gets a temporary folder of its own here,
    which is safe to empty: nobody else writes into it. Make it in setup, once.
    """

    def __init__(self) -> None:
        self.root = tempfile.TemporaryDirectory(prefix="easel-")
        tempfile.tempdir = self.root.name

    def clear(self, keep: Container[Path | None]) -> None:
        """Remove what earlier requests left; `keep` are the files of the present one."""
        for path in Path(self.root.name).iterdir():
            if path.is_file() and path not in keep:
                with suppress(OSError):
                    path.unlink()
