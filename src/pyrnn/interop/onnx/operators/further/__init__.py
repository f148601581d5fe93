"""Operators that few recurrent models have: further norms, spectra, functions of single numbers."""
