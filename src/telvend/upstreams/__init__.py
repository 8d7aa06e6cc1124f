"""The providers as the operator sees them: switched on or off, their floats, and how they have done."""
