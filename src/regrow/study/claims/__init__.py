"""Claims: what a study is to be judged by, written down before its first run."""

from regrow.study.claims.paper import paper_claims
from regrow.study.claims.reading import load_claims
from regrow.study.claims.registration import Registration, register, registration_of
from regrow.study.claims.settings import ClaimSettings, MetricSettings

__all__ = [
    "ClaimSettings",
    "MetricSettings",
    "Registration",
    "load_claims",
    "paper_claims",
    "register",
    "registration_of",
]
