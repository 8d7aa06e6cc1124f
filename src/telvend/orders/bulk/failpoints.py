"""The failpoints of lists that are bought in the background: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "bulk.after_claim": "A list has been taken up; none of its next lines is bought.",
    "bulk.after_buying": "The next lines of a list are bought; nothing is written in the list.",
}
