"""Takes the rules away that money stands on, one at a time, and sees whether the tests notice.

    make mutants            prints which test noticed what; exit code 1 when something went unnoticed

Each mutant is a change of the source in a copy of the tree. Before that the copy's tests have to pass as it is, so
that nothing counts as noticed that was broken anyway.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 180


@dataclass(frozen=True)
class Mutant:
    """In `file`, `before` (exactly once there) becomes `after`; one of `tests` has to fail."""

    rule: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


PLACING = "tests/store/test_placing.py"
STORIES = "tests/scenario/test_money_stories.py"
SUBSCRIBERS = "tests/store/test_subscribers.py"
DELIVERING = "tests/store/test_delivering.py"
BALANCES = "tests/unit/subscribers/test_account.py"

MUTANTS = (
    Mutant(
        "the lock on the wallet",
        "src/telvend/ledger/store.py",
        "order by account_id for no key update",
        "order by account_id",
        (f"{PLACING}::test_two_lanes_sell_exactly_what_one_wallet_pays_for",),
    ),
    Mutant(
        "the unique reference",
        "src/telvend/migrations/sql/0001_shop.sql",
        "create unique index orders_client_reference",
        "create index orders_client_reference",
        (f"{PLACING}::test_one_reference_through_two_wallets_at_once_is_one_order",),
    ),
    Mutant(
        "a reference is looked up",
        "src/telvend/orders/placing.py",
        "await store.find_by_client_reference(tx, keys) if keys else {}",
        "{}",
        (f"{PLACING}::test_four_lanes_place_one_reference_once",),
    ),
    Mutant(
        "airtime arrives whole, whatever the reseller pays",
        "src/telvend/orders/jobs/loop.py",
        "face_value=claim.face,",
        "face_value=claim.price,",
        ("tests/store/test_own_network.py::test_a_subscriber_gets_what_was_sold_whatever_the_catalogue_says_by_then",),
    ),
    Mutant(
        "unknown is not a refusal",
        "src/telvend/orders/jobs/rules.py",
        "attempt.state = AttemptState.UNKNOWN",
        "attempt.state = AttemptState.REFUSED",
        (f"{STORIES}::test_unknown_outcome_keeps_the_hold_until_the_answer_is_delivered",),
    ),
    Mutant(
        "unknown is not 'not sent'",
        "src/telvend/orders/jobs/rules.py",
        "attempt.state = AttemptState.UNKNOWN",
        "attempt.state = AttemptState.NOT_SENT",
        (f"{STORIES}::test_unknown_outcome_keeps_the_hold_until_the_answer_is_delivered",),
    ),
    Mutant(
        "no timer ends an unknown",
        "src/telvend/orders/jobs/rules.py",
        """        case.become(State.REVIEW)
        return Effect.REVIEW
    delay_s *= """,
        """        case.releases = True
        case.become(State.FAILED)
        return Effect.FAILED
    delay_s *= """,
        (f"{STORIES}::test_what_asking_does_not_settle_waits_for_a_person_who_says_delivered",),
    ),
    Mutant(
        "an open attempt is asked about",
        "src/telvend/orders/jobs/rules.py",
        """    if open_attempts:
        return Ask(open_attempts[0])
""",
        "",
        (f"{STORIES}::test_a_worker_that_takes_over_asks_and_does_not_buy_again",),
    ),
    Mutant(
        "the lock on the subscriber",
        "src/telvend/subscribers/store.py",
        "where id = any(array(select id from wanted)) order by id for no key update",
        "where id = any(array(select id from wanted)) order by id",
        (f"{SUBSCRIBERS}::test_two_processes_that_use_the_same_balance_wait_for_each_other",),
    ),
    Mutant(
        "a delivery gives what it has claimed, and nothing else",
        "src/telvend/subscribers/delivering.py",
        "given = [item for item in deliveries if item.reference in claimed]",
        "given = deliveries",
        (f"{DELIVERING}::test_the_same_reference_gives_once_in_one_batch_and_later",),
    ),
    Mutant(
        "a question closes what nobody has heard of",
        "src/telvend/subscribers/delivering.py",
        "return Claim(item.reference, DeliveryState.CLOSED)",
        "return Claim(item.reference, DeliveryState.REFUSED)",
        (f"{DELIVERING}::test_asking_about_an_unknown_reference_closes_it",),
    ),
    Mutant(
        "what is reserved nobody else can use",
        "src/telvend/subscribers/model.py",
        "return self.balance - self.reserved",
        "return self.balance",
        (f"{BALANCES}::TestLife",),
    ),
    Mutant(
        "a consumption counts once",
        "src/telvend/subscribers/writing.py",
        "known = self.consumed.get((subscriber.id, request.reference))",
        "known = None",
        (f"{SUBSCRIBERS}::test_consuming_counts_once_for_its_reference",),
    ),
    Mutant(
        "what ends soonest is used first",
        "src/telvend/subscribers/account.py",
        "return (bucket.priority, ends_at or _NEVER, bucket.created_at or now, bucket.id)",
        "return (bucket.priority, _NEVER, bucket.created_at or now, bucket.id)",
        (f"{BALANCES}::test_the_order_of_use_is_priority_expiry_age_id_whatever_order_they_come_in",),
    ),
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="telvend-mutants-") as folder:
        tree = Path(folder)
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        tests = tuple(dict.fromkeys(test for mutant in MUTANTS for test in mutant.tests))
        failed, said = run(tree, tests)
        if failed or said is None:
            print(f"The tests do not pass on the source as it is: {failed or 'they did not run'}\n{said or ''}")
            return 1
        width = max(len(mutant.rule) for mutant in MUTANTS)
        print(f"{'taken away'.ljust(width)}   noticed by")
        unnoticed = 0
        for mutant in MUTANTS:
            file = tree / mutant.file
            source = file.read_text()
            if source.count(mutant.before) != 1:
                print(f"{mutant.rule.ljust(width)}   CANNOT BE APPLIED: {mutant.file} has changed")
                unnoticed += 1
                continue
            file.write_text(source.replace(mutant.before, mutant.after))
            failed, _ = run(tree, mutant.tests)
            file.write_text(source)
            unnoticed += not failed
            print(f"{mutant.rule.ljust(width)}   {', '.join(failed) or 'NOBODY'}", flush=True)
    print(f"{len(MUTANTS) - unnoticed} of {len(MUTANTS)} noticed.")
    return 1 if unnoticed else 0


def run(tree: Path, tests: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The names of the tests that failed, and what pytest said; None where it did not get as far as running them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", *tests],
        cwd=tree,
        # The copy's source goes before the installed one; no bytecode, whose time stamps are too coarse for us.
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    # 0: all passed, 1: some failed; anything else is no verdict.
    return re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE), (
        done.stdout if done.returncode in (0, 1) else None
    )


if __name__ == "__main__":
    sys.exit(main())
