"""What a layer over sequences is called with, checked, and as a batch without holes."""
