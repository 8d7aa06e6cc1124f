"""The audit: whether the books hold. Each room states what must hold in its `invariants.py`."""
