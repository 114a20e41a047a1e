"""The files of one request, what comes and what goes: each in a folder of its own, and removed in time."""

import shutil
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from watchdog.events import DirCreatedEvent, FileClosedNoWriteEvent, FileCreatedEvent, FileSystemEventHandler
from watchdog.observers import Observer

from easel.errors import ResourceError

WATCH_S = 1.0  # what a request waits at most until its folder is watched; it takes a millisecond


class RemoveOnceRead(FileSystemEventHandler):
    """Cog's server opens each output once, to send it, and never deletes it."""

    def __init__(self) -> None:
        self.watched = Event()  # the newest folder is

    def on_created(self, event: DirCreatedEvent | FileCreatedEvent) -> None:
        self.watched.set()

    def on_closed_no_write(self, event: FileClosedNoWriteEvent) -> None:
        path = Path(str(event.src_path))
        with suppress(OSError):  # the next request may have been quicker
            path.unlink()
            path.parent.rmdir()  # fails while there are others


class TempFiles:
    """Holds the folder of one request at a time.

    A file goes when it has been read, the folder with the last of them. Both go at once when their request ends early,
    and otherwise at the latest when the next one begins or the process ends.

    Make it before the first request: a cancel that strikes while a request starts a thread can hang it (CPython 3.11
    counts a new thread as its parent until it runs), so the threads that watch are started here, once.
    """

    def __init__(self) -> None:
        self.root = tempfile.TemporaryDirectory(prefix="easel-")
        self._handler = RemoveOnceRead()
        with suppress(OSError):  # the system's limit of watches; then the next request removes the files
            observer = Observer()
            observer.schedule(
                self._handler, self.root.name, recursive=True, event_filter=[DirCreatedEvent, FileClosedNoWriteEvent]
            )
            observer.start()

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """Give an empty folder for a request. Raises ResourceError, which names the path, when its disk is full."""
        self.clear()
        self._handler.watched.clear()
        try:
            yield Path(tempfile.mkdtemp(dir=self.root.name))
        except OSError as error:
            self.clear()
            raise lack_of_room(error, self.root.name) from None
        except BaseException:
            self.clear()
            raise
        self._handler.watched.wait(WATCH_S)

    def clear(self) -> None:
        """Remove what there is of the last request, and of one that was cancelled before its folder had a name here."""
        for folder in Path(self.root.name).glob("*"):
            shutil.rmtree(folder, ignore_errors=True)


def lack_of_room(error: OSError, folder: str) -> ResourceError:
    return ResourceError(
        f"The images cannot be written to {error.filename or folder} ({error.strerror}). "
        "Make room there and send the request again; nothing of this one is kept."
    )


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
