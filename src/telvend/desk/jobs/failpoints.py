"""The failpoints of the console's jobs: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "job.after_claim": "A job of the console has been taken up; nothing of it is done.",
    "job.after_work": "The work of a job is done and committed; the job does not say so yet.",
}
