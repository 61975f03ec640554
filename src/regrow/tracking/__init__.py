"""Tracking: what the runs of a study were and gave, sent to the tools in which people compare runs.

A tracker is an adaptor that takes plain values (:class:`regrow.tracking.content.TrackedRun`). Sending again updates
what is there: a run is known by the digest of its study's recipe and its name. Nothing is read back: the study's folder
stays the one source of every number.
"""
