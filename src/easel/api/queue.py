"""Who is next: accounts take turns, and within an account the oldest goes first."""

import asyncio
from collections import OrderedDict, deque
from typing import Protocol


class Queued(Protocol):
    id: str
    account: str
    version: str


class FairQueue:
    """Predictions that wait, by version and account. Everything happens on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, OrderedDict[str, deque[Queued]]] = {}
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return sum(len(line) for accounts in self._waiting.values() for line in accounts.values())

    async def put(self, one: Queued, first: bool = False) -> None:
        """`first` puts it back to where it was taken from."""
        accounts = self._waiting.setdefault(one.version, OrderedDict())
        line = accounts.setdefault(one.account, deque())
        if first:
            line.appendleft(one)
            accounts.move_to_end(one.account, last=False)
        else:
            line.append(one)
        async with self._changed:
            self._changed.notify_all()

    async def get(self, versions: set[str]) -> Queued:
        """The next one of any of these versions, as soon as there is one. `versions` may change while it waits."""
        async with self._changed:
            while True:
                for version in sorted(versions):
                    if accounts := self._waiting.get(version):
                        return self._take(version, accounts)
                await self._changed.wait()

    def _take(self, version: str, accounts: OrderedDict[str, deque[Queued]]) -> Queued:
        account, line = accounts.popitem(last=False)
        one = line.popleft()
        if line:
            accounts[account] = line  # to the end: the others come first
        if not accounts:
            del self._waiting[version]
        return one

    def discard(self, one: Queued) -> bool:
        """Take it out of the middle; False if it does not wait."""
        accounts = self._waiting.get(one.version, OrderedDict())
        line = accounts.get(one.account, deque())
        if one not in line:
            return False
        line.remove(one)
        if not line:
            del accounts[one.account]
        if not accounts:
            self._waiting.pop(one.version, None)
        return True

    async def wake(self) -> None:
        """After `versions` of a waiting server changed."""
        async with self._changed:
            self._changed.notify_all()
