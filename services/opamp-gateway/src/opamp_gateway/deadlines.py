"""Timeouts without a timer each: one sweep a second looks at those that are due, however many connections there are."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Deadlines(Generic[Key]):
    """Keys that expire the same number of seconds after their last start; the oldest come first by themselves."""

    __slots__ = ("_due", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._due))

    def start(self, key: Key, now: float) -> None:
        """Start or start anew."""
        self._due.pop(key, None)
        self._due[key] = now + self.seconds

    def stop(self, key: Key) -> None:
        """Forget the key."""
        self._due.pop(key, None)

    def expired(self, now: float) -> list[Key]:
        """Take out what is due."""
        keys: list[Key] = []
        for key, due in self._due.items():
            if due > now:
                break
            keys.append(key)
        for key in keys:
            del self._due[key]
        return keys


class VariedDeadlines(Generic[Key]):
    """Likewise for keys that have different times, of which only few are in use; none is below `least` seconds."""

    __slots__ = ("_groups", "_of", "least")

    def __init__(self, least: float) -> None:
        self.least = least
        self._groups: dict[float, Deadlines[Key]] = {}
        self._of: dict[Key, Deadlines[Key]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._of))

    def start(self, key: Key, now: float, seconds: float = 0.0) -> None:
        """Start or start anew."""
        seconds = max(seconds, self.least)
        group = self._of.get(key)
        if group is None or group.seconds != seconds:
            self.stop(key)
            group = self._groups.get(seconds)
            if group is None:
                group = self._groups[seconds] = Deadlines(seconds)
            self._of[key] = group
        group.start(key, now)

    def stop(self, key: Key) -> None:
        """Forget the key."""
        group = self._of.pop(key, None)
        if group is not None:
            group.stop(key)

    def expired(self, now: float) -> list[Key]:
        """Take out what is due."""
        keys = [key for group in self._groups.values() for key in group.expired(now)]
        for key in keys:
            del self._of[key]
        for seconds in [seconds for seconds, group in self._groups.items() if not len(group)]:
            del self._groups[seconds]
        return keys


class Wheel(Generic[Key]):
    """Keys that are visited once in so many ticks, spread evenly over them."""

    __slots__ = ("_slots", "_tick")

    def __init__(self, ticks: int) -> None:
        self._slots: list[set[Key]] = [set() for _ in range(ticks)]
        self._tick = 0

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def __iter__(self) -> Iterator[Key]:
        for slot in self._slots:
            yield from list(slot)

    def add(self, key: Key) -> None:
        """First visited after a whole turn."""
        self._slots[self._tick - 1].add(key)

    def discard(self, key: Key) -> None:
        """Visit it no more."""
        for slot in self._slots:
            if key in slot:
                slot.discard(key)
                return

    def turn(self) -> list[Key]:
        """The keys of the next tick."""
        self._tick = (self._tick + 1) % len(self._slots)
        return list(self._slots[self._tick])


class Ticker:
    """Calls a function every so many seconds until stopped."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._seconds = seconds
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._tick)
        self._call()

    def stop(self) -> None:
        """Call no more."""
        self._handle.cancel()
