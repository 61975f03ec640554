"""From a study's numbers to a verdict on each claim: pure functions of a `StudyView`, and the file that they go to."""

from regrow.verdict.judge import judge
from regrow.verdict.model import VALUES, ArmVerdict, ClaimVerdict, Comparison, Evidence, Interval, Verdict

__all__ = ["VALUES", "ArmVerdict", "ClaimVerdict", "Comparison", "Evidence", "Interval", "Verdict", "judge"]
