"""What a trainer calls as it goes: stopping early, saving, logging."""
