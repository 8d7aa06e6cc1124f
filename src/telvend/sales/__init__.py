"""What every kind of sale shares."""
