"""Plans as partners read them: each part from a source of its own, with a deadline."""
