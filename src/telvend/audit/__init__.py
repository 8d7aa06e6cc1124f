"""The audit: whether the books hold."""
