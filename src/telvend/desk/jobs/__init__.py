"""What a person starts in the console and does not wait for: figures of a month, its closing, audits of the books."""
