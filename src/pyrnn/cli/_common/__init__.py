"""What several commands share: arguments, errors, signals, what is printed and drawn."""
