"""Who is next: accounts take turns, and within an account the oldest goes first."""

import asyncio
from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    @property
    def account(self) -> str: ...

    @property
    def version(self) -> str: ...


One = TypeVar("One", bound=Queued)


class FairQueue(Generic[One]):
    """Predictions that wait, by account. Everything happens on one event loop."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[One]] = OrderedDict()
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    def all(self) -> list[One]:
        return [one for line in self._waiting.values() for one in line]

    async def put(self, one: One, first: bool = False) -> None:
        """`first` puts it back to where it was taken from."""
        line = self._waiting.setdefault(one.account, deque())
        if first:
            line.appendleft(one)
            self._waiting.move_to_end(one.account, last=False)
        else:
            line.append(one)
        await self.wake()

    async def get(self, versions: set[str]) -> One:
        """Return the next one of any of these versions, as soon as there is one.

        `versions` may change while it waits.
        """
        async with self._changed:
            while (one := next((one for one in self.all() if one.version in versions), None)) is None:
                await self._changed.wait()
            self.discard(one)
            if one.account in self._waiting:
                self._waiting.move_to_end(one.account)  # the others come first
            return one

    def discard(self, one: One) -> bool:
        """Take it out; False if it does not wait."""
        line = self._waiting.get(one.account, deque())
        if one not in line:
            return False
        line.remove(one)
        if not line:
            del self._waiting[one.account]
        return True

    async def wake(self) -> None:
        """Let all who wait look again: something came, or their versions changed."""
        async with self._changed:
            self._changed.notify_all()
