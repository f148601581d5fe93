"""Schedules: how learning rates change from step to step, or from epoch to epoch."""
