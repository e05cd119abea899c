"""Whether the second student may teach: only one who sees about the same in the targets is understood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

ASK_AGAIN = 0.1


class Hearing:
    """Asked when distillation has reached its weight, and every tenth of the budget until the two agree."""

    def __init__(self, least: float, first: float, say: Callable[[str], None]) -> None:
        """``least``: Dice below which nobody listens; ``first``: share of the budget of the first question."""
        self.least, self.say = least, say
        self.heard, self.next_question = True, first

    def may_teach(self, fraction: float, agreement: Callable[[], float]) -> bool:
        """Whether the second student is heard at ``fraction`` of the budget; says so once when it is not."""
        if fraction < self.next_question:
            return self.heard
        found, before = agreement(), self.heard
        self.heard = found >= self.least
        self.next_question = 2.0 if self.heard else fraction + ASK_AGAIN
        if before and not self.heard:
            self.say(
                f"The student of the assistant cases agrees with the other one to {found:.2f} only (Dice on the"
                " targets): it does not teach until they agree; try another alignment."
            )
        return self.heard

    def facts(self) -> dict[str, Any]:
        return {"heard": self.heard, "next_question": self.next_question}

    def remember(self, facts: dict[str, Any]) -> None:
        self.heard, self.next_question = facts["heard"], facts["next_question"]


def mean_dice(pairs: Sequence[tuple[Tensor, Tensor]], classes: int) -> float:
    """Mean Dice of pairs of channel maps (D, H, W) over the foreground classes that either map shows; 0 without any."""
    found = []
    for one, other in pairs:
        for channel in range(1, classes):
            total = int((one == channel).sum() + (other == channel).sum())
            if total:
                found.append(2.0 * int(((one == channel) & (other == channel)).sum()) / total)
    return sum(found) / len(found) if found else 0.0
