"""What a plan is made of: its steps, and which of them are computed together."""
