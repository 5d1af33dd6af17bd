"""Is it the trial, or the place? What crashes before a first epoch say of machines and GPUs.

A trial may be at fault wherever it runs; a broken GPU fails every trial that comes to it, at once,
and so gets the next one, too: left alone it eats a study. Knows nothing of Ray or of files.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

CRASHES = 3  # one after another, before a first epoch, that a place is left out for


class Judgement(NamedTuple):
    """What a crash before a first epoch means."""

    charged: bool  # to the trial
    left_out: bool = False  # the place, from now on
    taken_back: tuple[str, ...] = ()  # places that were left out for this trial's sake alone
    hopeless: bool = False  # nothing has worked anywhere, and nothing else is being tried


class Places:
    """What has happened in each place of a running study.

    Attributes:
        left_out: places that get no more trials.
    """

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        self._working: set[str] = set()  # an epoch has come from there
        self._crashed: dict[str, list[str]] = defaultdict(list)  # trials in a row, by place
        self._crashed_in: dict[str, set[str]] = defaultdict(set)  # places, by trial

    def works(self, place: str) -> bool:
        """An epoch was trained there; whether the place was left out, and no longer is."""
        self._working.add(place)
        self._crashed.pop(place, None)
        was_left_out = place in self.left_out
        self.left_out.discard(place)
        return was_left_out

    def crashed(
        self, place: str | None, trial: str, elsewhere: Collection[str | None]
    ) -> Judgement:
        """A trial has crashed before its first epoch since it was handed out.

        Args:
            place: None if it is not known.
            elsewhere: places where other trials are at their first epoch now; None likewise.
        """
        untried = any(other is None or other != place for other in elsewhere)
        if place is None:
            return Judgement(charged=True, hopeless=not (self._working or untried))
        self._crashed[place].append(trial)
        self._crashed_in[trial].add(place)
        others_work = bool(self._working - {place} - self.left_out)
        if len(self._crashed_in[trial]) > 1:
            return Judgement(charged=True, taken_back=self._take_back(trial))
        if not (others_work or untried):  # no trial could go anywhere else
            self.left_out.discard(place)
            return Judgement(charged=True, hopeless=not self._working)
        if place in self.left_out:
            return Judgement(charged=False)
        leave_out = self._only_here(place) >= CRASHES
        if leave_out:
            self.left_out.add(place)
            self._working.discard(place)
        return Judgement(charged=False, left_out=leave_out)

    def _only_here(self, place: str) -> int:
        """Crashes in a row there, of trials that have crashed nowhere else."""
        return sum(len(self._crashed_in[trial]) == 1 for trial in self._crashed[place])

    def _take_back(self, trial: str) -> tuple[str, ...]:
        """Let places have trials again that were left out for a trial's sake, which is at fault."""
        back = tuple(sorted(place for place in self.left_out if not self._only_here(place)))
        self.left_out.difference_update(back)
        for place in self._crashed_in[trial]:
            self._crashed[place] = [other for other in self._crashed[place] if other != trial]
        return back
