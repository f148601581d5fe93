"""What layers learn: names and shapes, the dict of live arrays, whose they are, merging."""
