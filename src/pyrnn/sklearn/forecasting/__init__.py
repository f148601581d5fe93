"""Forecasting: windows of series, calendar features, calibrated intervals, rolling origins."""
