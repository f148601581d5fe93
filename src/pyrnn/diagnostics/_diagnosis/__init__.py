"""The likely place of a fault in a backward pass, found by small trials and rules."""
