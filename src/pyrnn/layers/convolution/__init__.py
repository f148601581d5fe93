"""Layers over windows of time: convolutions, and their streams."""
