"""What is timed, by whom and how: shapes and problems, contenders, turns and medians."""
