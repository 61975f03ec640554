"""From a study's numbers to a verdict on each claim: pure functions of a `StudyView`, and the file that they go to."""
