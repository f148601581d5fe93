"""What the command measures, one file a mode: the grid, growth, busy cores."""
