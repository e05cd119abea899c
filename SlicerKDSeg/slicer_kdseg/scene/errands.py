"""Work that must not hold up the scene: done on other threads, handed over on the caller's.

A lane does one errand at a time, in order; lanes do not wait for one another. ``drain()`` is called by the
host's clock and runs each finished errand's follow-up, so that the scene is touched on its own thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TypeVar

from slicer_kdseg.protocol.errors import KDSegError

T = TypeVar("T")
Failed = Callable[[KDSegError], object]


class Errands:
    def __init__(self, lanes: tuple[str, ...]) -> None:
        self._lanes = {lane: ThreadPoolExecutor(1, thread_name_prefix=f"kdseg-{lane}") for lane in lanes}
        self._finished: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._round = 0

    def send(
        self,
        lane: str,
        work: Callable[[], T],
        then: Callable[[T], object],
        failed: Failed,
        lasting: bool = False,
    ) -> None:
        """Do ``work`` on ``lane``; later ``then(result)`` or ``failed(error)`` on the draining thread.

        ``lasting``: the follow-up concerns no volume and comes after :meth:`forget` too.
        An error that is no :class:`KDSegError` is a fault of ours and is raised by :meth:`drain`.
        """
        round_ = None if lasting else self._round

        def finish(future: Future[T]) -> None:
            if not future.cancelled():
                self._finished.put(lambda: self._hand_over(round_, future, then, failed))

        self._lanes[lane].submit(work).add_done_callback(finish)

    def drain(self) -> None:
        while True:
            try:
                follow_up = self._finished.get_nowait()
            except Empty:
                return
            follow_up()

    def forget(self) -> None:
        """Whatever is under way ends without a follow-up: its volume or scene is gone."""
        self._round += 1

    def close(self) -> None:
        self.forget()
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)

    def _hand_over(self, round_: int | None, future: Future[T], then: Callable[[T], object], failed: Failed) -> None:
        if round_ not in (None, self._round):
            return
        error = future.exception()
        if error is None:
            then(future.result())
        elif isinstance(error, KDSegError):
            failed(error)
        else:
            raise error
