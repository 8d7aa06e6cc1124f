"""The failpoints of this room."""

from typing import Final

FAILPOINTS: Final = {
    "move.while_stopped": "Nobody writes to the shop's database; nothing is copied yet.",
    "move.after_copy": "The copy is complete, and halted; the shop is still where it was.",
    "move.after_commit": "The old database has given the shop up; the data directory does not say so yet.",
    "move.before_release": "The data directory names the new database, which is still halted.",
}
