"""What a study of a tier may say; see docs/verdict.md."""

from __future__ import annotations

TIERS = {
    "T0": "tier T0: shows the path, judges nothing",
    "T0c": "tier T0c: shows spreads, does not judge the paper",
    "T1": "tier T1: a short run at full width",
    "T2": "tier T2: a run of middle length",
    "T3": "tier T3: the full length of the reference",
}


def tier_sentence(tier: str) -> str:
    """What a study of this tier may say, as one fixed sentence."""
    return TIERS.get(tier, f"tier {tier}")


def judges_paper(tier: str) -> bool:
    """Whether its verdicts count for the paper's claims, and not for the study alone."""
    return not tier.startswith("T0")
