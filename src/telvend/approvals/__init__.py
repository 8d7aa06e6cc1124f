"""Two people for large amounts: what one person proposes waits until another one confirms it."""
