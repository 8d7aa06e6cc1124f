"""What the operator does in the console: what waits for a person, one search over everything, and the verbs with their record."""
