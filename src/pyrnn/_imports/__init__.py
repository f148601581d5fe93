"""Imports that are not plain: of optional packages, and at first use."""
