"""What only the user can decide: a sentence and two answers over the page; whoever asks waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from slicer_kdseg.browser.front import Front


@dataclass(frozen=True)
class QuestionShown:
    sentence: str = ""
    yes: str = ""
    no: str = ""


class Question:
    """One at a time; it survives a reload of the page."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._answer: asyncio.Future[bool] | None = None
        front.show("question", QuestionShown())

    async def ask(self, sentence: str, yes: str, no: str) -> bool:
        self._answer = asyncio.get_running_loop().create_future()
        self._show(QuestionShown(sentence, yes, no))
        try:
            return await self._answer
        finally:
            self._answer = None
            self._show(QuestionShown())

    def answer(self, yes: bool) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(bool(yes))

    def _show(self, shown: QuestionShown) -> None:
        self._front.show("question", shown)
        self._front.server.state.flush()
