"""Recipes that ship with the package: YAML files, named by folder and file (``quick/cues``)."""
