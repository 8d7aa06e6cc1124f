"""A pretended upstream: it delivers nothing, keeps its own book of what it would have delivered, and misbehaves on request.

`client.py` is how to call it and `wire.py` what it says, as for every provider; open those two first to write your own.
Behind them is what a real vendor keeps to itself: `upstream.py` (the far side), `table.py` (which number does what),
`book.py` (what was delivered; also in memory) and `store.py` (the book in PostgreSQL).
"""
