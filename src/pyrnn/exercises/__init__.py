"""Exercises on back-propagation through time: ``python -m pyrnn.exercises``.

Each has a stub to fill in, and a check that gives hints, not answers.
"""
