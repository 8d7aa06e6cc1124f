"""Reading a subscriber's plans: each part from a source of its own, with a deadline."""
