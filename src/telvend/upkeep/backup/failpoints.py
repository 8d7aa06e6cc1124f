"""The failpoints of this room."""

from typing import Final

FAILPOINTS: Final = {
    "backup.while_copying": "A backup has stored keys and settings, and begins to copy the database.",
    "backup.before_record": "Everything of a backup is stored but its record.",
    "backup.after_record": "A backup is whole; older ones that are no longer kept are still there.",
    "backup.after_segment_stored": "A segment of write-ahead log is archived, and still waits as well.",
    "restore.before_database_is_in_place": "A restored database is complete, and not yet where a shop looks for it.",
}
