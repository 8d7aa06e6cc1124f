"""What every sale shares, whoever ends it."""
