"""A figure that is aimed at, as the table of `python -m tests.benchmarks` shows it."""

from typing import NamedTuple


class Goal(NamedTuple):
    """What was measured, and what is aimed at."""

    what: str
    figure: float
    target: float
    least: bool = False  # whether the target is the least that will do, not the most
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.figure >= self.target if self.least else self.figure <= self.target

    def row(self) -> str:
        """
        >>> Goal("epoch / bare passes", 1.0751, 1.1).row()
        '| epoch / bare passes | at most 1.1 | 1.08 | |'
        >>> Goal("four at once / one", 1.5, 2.4, least=True).row()
        '| four at once / one | at least 2.4 | 1.5 | **missed** |'
        """
        bound = "at least" if self.least else "at most"
        unit = f" {self.unit}" if self.unit else ""
        verdict = "" if self.met else "**missed** "
        return (
            f"| {self.what} | {bound} {self.target:g}{unit} | {self.figure:.3g}{unit} | {verdict}|"
        )
