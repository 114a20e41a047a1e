"""The files of one request: in a folder of their own, and gone when they have been sent."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from watchdog.events import FileClosedNoWriteEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from easel.errors import ResourceError


class RemoveOnceRead(FileSystemEventHandler):
    """Cog's server opens each output once, to send it, and never deletes it."""

    def on_closed_no_write(self, event: FileClosedNoWriteEvent) -> None:
        path = Path(str(event.src_path))
        with suppress(OSError):  # the next request may have been quicker
            path.unlink()
            path.parent.rmdir()  # fails while there are others


class Outputs:
    """Holds the folder of one request at a time.

    A file goes when it has been read, the folder with the last of them. Both go at once when their request ends early,
    and otherwise at the latest when the next one begins or the process ends.
    """

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory | None = None
        self._observer: BaseObserver | None = None
        self._watch: ObservedWatch | None = None

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """An empty folder for a request. Raises ResourceError, which names the path, when its disk is full."""
        self.clear()
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="easel-")
            yield Path(self._folder.name)
        except OSError as error:
            self.clear()
            raise lack_of_room(error) from None
        except BaseException:
            self.clear()
            raise
        self._remove_when_read(self._folder.name)

    def _remove_when_read(self, folder: str) -> None:
        with suppress(OSError):  # the system's limit of watches; then the next request removes the files
            if not self._observer:
                self._observer = Observer()
                self._observer.start()
            self._watch = self._observer.schedule(RemoveOnceRead(), folder, event_filter=[FileClosedNoWriteEvent])

    def clear(self) -> None:
        if self._watch and self._observer:
            with suppress(KeyError):  # it ended with its folder
                self._observer.unschedule(self._watch)
        self._watch = None
        if self._folder:
            self._folder.cleanup()
            self._folder = None


def lack_of_room(error: OSError) -> ResourceError:
    return ResourceError(
        f"The pictures cannot be written to {error.filename or tempfile.gettempdir()} ({error.strerror}). "
        "Make room there and send the request again; nothing of this one is kept."
    )
