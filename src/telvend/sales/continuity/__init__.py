"""Whether the database still has what it has acknowledged: it may have gone back by a fail-over or a restore."""
