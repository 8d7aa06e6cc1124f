"""The commands of Nigeria's side of the shop, against a real database: profiles, discounts, identity checks, fundings."""

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from typer.testing import CliRunner

from telvend.authorities.contract import Found, Record, VerificationKind
from telvend.cli import app
from telvend.database.connections import Database
from telvend.funding.model import Funding
from telvend.gateways.checkout import PaymentState
from telvend.gateways.sandbox import store as sandbox_store
from tests.store.fundings import funding_shop, notice_about
from tests.store.test_cli import EMAIL, Shop, one_object
from tests.store.verifications import NUMBER, Obedient, verification_shop

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
BVN = "22987654321"
PERSON = Record(first_name="Ngozi", last_name="Okafor-Unmistakable", photo="cGljdHVyZQ==")
SECRETS = (NUMBER, BVN, "Ngozi", "Okafor", "cGljdHVyZQ")


pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def shop(database_url: str) -> Shop:
    return Shop(database_url)


# Profiles and discounts


def test_a_profile_keeps_what_is_not_named_and_takes_verification_back(shop: Shop, tmp_path: Path) -> None:
    shop.add_reseller()
    picture = tmp_path / "ama.png"
    picture.write_bytes(PNG)
    empty = shop.data("user", "show", EMAIL)
    assert (empty["address"], empty["date_of_birth"], empty["email_verified"], empty["avatar"]) == (
        "", None, False, False,
    )  # fmt: skip
    shop.run(
        "user", "set", EMAIL, "--address", "[bold]1 Broad St[/bold]", "--gender", "Female",
        "--date-of-birth", "1990-02-28", "--email-verified", "--phone-verified", "--avatar", str(picture),
    )  # fmt: skip
    changed = shop.data("user", "set", EMAIL, "--no-email-verified", "--id-verified")
    assert changed == shop.data("user", "show", EMAIL)
    assert {name: changed[name] for name in changed.keys() - empty.keys() | {"gender", "date_of_birth"}} == {
        "gender": "Female", "date_of_birth": "1990-02-28",
    }  # fmt: skip
    assert [changed[f"{what}_verified"] for what in ("email", "phone", "id")] == [False, True, True]
    assert changed["avatar"] is True
    shown = shop.run("user", "show", EMAIL).stdout
    assert "[bold]1 Broad St[/bold]" in shown
    assert re.search(r"email verified +no *\n", shown)
    assert shop.data("user", "set", EMAIL, "--address", "")["address"] == ""
    assert shop.data("user", "set", EMAIL, "--remove-avatar")["avatar"] is False


def test_a_profile_that_cannot_be_is_refused_and_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.add_reseller()
    before = shop.data("user", "show", EMAIL)
    film = tmp_path / "film.png"
    film.write_bytes(PNG + bytes(1024 * 1024))
    text = tmp_path / "text.png"
    text.write_text("<svg onload=alert(1)>")
    assert shop.refused("user", "set", EMAIL).startswith("Say what to set")
    for file in (film, text):
        assert shop.refused("user", "set", EMAIL, "--id-verified", "--avatar", str(file)).startswith("avatar: ")
    assert shop.refused("user", "set", EMAIL, "--id-verified", "--gender", "male").startswith("gender: ")
    assert shop.refused("user", "set", EMAIL, "--date-of-birth", "2190-01-01").startswith("date_of_birth: ")
    assert shop.refused("user", "set", "nobody@example.com", "--id-verified") == "Reseller not found."
    for wrong in (("--date-of-birth", "28/02/1990"), ("--avatar", str(tmp_path / "nothing.png"))):
        assert shop.run("user", "set", EMAIL, *wrong, code=2).stdout == ""
    assert shop.data("user", "show", EMAIL) == before


def test_a_discount_is_kept_exactly_and_ended_with_nought(shop: Shop) -> None:
    shop.add_reseller()

    async def kept(database: Database) -> list[int]:
        async with database.connection() as tx:
            return [row[0] for row in await tx.fetch("select basis_points from reseller_discount")]

    command = ("user", "discount", EMAIL)
    made = shop.data(*command, "mTn", "2.25")
    assert (made["country"], made["network"], made["percent"]) == ("NG", "mtn", Decimal("2.25"))
    assert shop.work(kept) == [225]
    for percent in ("50.01", "1.005", "x"):
        assert shop.refused(*command, "MTN", percent).startswith("percent: ")
    assert shop.refused(*command, "Nobody", "2") == "Airtime of this network not found."
    assert shop.refused(*command, "MTN", "2", "--country", "XX").startswith("country: ")
    assert shop.work(kept) == [225]
    shop.run(*command, "MTN", "0")
    assert shop.work(kept) in ([], [0])


def test_discounts_are_listed_of_one_or_of_all_and_ended_ones_are_not(shop: Shop) -> None:
    shop.add_reseller()
    shop.run("user", "add", "kofi@example.com", "--name", "Kofi", "--phone", "0241234568")
    assert shop.data("user", "discounts") == {"discounts": []}
    assert "Everybody pays the face value." in shop.run("user", "discounts").stdout
    for email, network, percent in (
        (EMAIL, "glo", "3"),
        (EMAIL, "mtn", "2.25"),
        (EMAIL, "airtel", "1"),
        ("kofi@example.com", "mtn", "0.5"),
        (EMAIL, "airtel", "0"),
    ):
        shop.run("user", "discount", email, network, percent)

    def listed(*arguments: str) -> set[tuple[str, str, str, str, Decimal]]:
        found = shop.data("user", "discounts", *arguments)["discounts"]
        return {(one["email"], one["country"], one["network"], one["product"], one["percent"]) for one in found}

    mine = {
        (EMAIL, "NG", "mtn", "NG-MTN-AIRTIME", Decimal("2.25")),
        (EMAIL, "NG", "glo", "NG-GLO-AIRTIME", Decimal(3)),
    }
    assert listed(EMAIL) == mine
    assert listed() == mine | {("kofi@example.com", "NG", "mtn", "NG-MTN-AIRTIME", Decimal("0.5"))}
    assert "2.25 %" in shop.run("user", "discounts").stdout
    assert shop.refused("user", "discounts", "nobody@example.com") == "Reseller not found."


# Identity


def checks(shop: Shop, folder: Path) -> tuple[list[int], UUID]:
    """Three checks on record, the middle one of a BVN; answers their ids, oldest first, and the key that bought them."""

    async def work(database: Database) -> tuple[list[int], UUID]:
        authority = Obedient()
        authority.answer = Found(PERSON)
        made = await verification_shop(database, folder, {"prembly": authority})
        bought = [
            await made.check(use_real_api=True),
            await made.check(BVN, use_real_api=True, kind=VerificationKind.BVN),
            await made.check(use_real_api=True, force_new=True),
        ]
        await made.identity.detail(made.ama, VerificationKind.NIN, bought[0].verification.id)
        await made.close()
        return [one.verification.id for one in bought], made.ama.key_id

    return shop.work(work)


def test_no_identity_command_shows_a_person_and_reading_the_list_is_on_record(shop: Shop, data_dir: Path) -> None:
    ids, key = checks(shop, data_dir)
    listed = shop.data("identity", "list")
    assert [(one["id"], one["number"], one["kind"], one["state"]) for one in listed["checks"]] == [
        (ids[2], "701*****789", "nin", "verified"),
        (ids[1], "229*****321", "bvn", "verified"),
        (ids[0], "701*****789", "nin", "verified"),
    ]
    assert listed["next"] is None
    page = shop.data("identity", "list", "--limit", "2")
    assert page["checks"] == listed["checks"][:2]
    assert shop.data("identity", "list", "--before", str(page["next"]))["checks"] == listed["checks"][2:]
    assert [one["id"] for one in shop.data("identity", "list", "--kind", "bvn")["checks"]] == [ids[1]]
    assert shop.refused("identity", "list", "--email", "nobody@example.com") == "Reseller not found."
    shown = shop.run("identity", "list", "--limit", "1").stdout
    assert "701*****789" in shown
    assert f"--before {ids[2]}" in shown

    read = shop.data("identity", "accesses", str(ids[0]))["accesses"]
    assert [(one["reader_kind"], one["reader"], one["action"]) for one in read[-2:]] == [
        ("key", str(key), "detail"), ("key", str(key), "check"),
    ]  # fmt: skip
    assert {(one["reader_kind"], one["action"]) for one in read[:-2]} == {("command line", "list, masked")}
    assert all(ids[0] in one["checks"] for one in read)
    assert len(shop.data("identity", "accesses", "--limit", "1")["accesses"]) == 1
    assert shop.data("identity", "accesses", "999999")["accesses"] == []
    everything = "".join(
        shop.run("identity", *command, *form).stdout
        for command in (("list",), ("accesses",), ("sweeps",))
        for form in ((), ("--json",))
    )
    assert [secret for secret in SECRETS if secret in everything] == []


def test_a_statement_names_the_checks_that_moved_money(shop: Shop, data_dir: Path) -> None:
    ids, _ = checks(shop, data_dir)
    references = {one["id"]: one["reference"] for one in shop.data("identity", "list")["checks"]}
    (user,) = shop.data("user", "list")["users"]
    lines = shop.data("wallet", "statement", user["email"], "NGN")["statement"]
    assert [line["reference"] for line in lines] == [*(references[id_] for id_ in reversed(ids)), "opening"]


def test_a_purge_destroys_what_is_older_than_the_setting_or_than_asked(
    shop: Shop, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, _ = checks(shop, data_dir)
    for number, days in zip(ids, (366, 364, 9), strict=True):
        shop.execute(f"update verification set created_at = now() - interval '{days} days' where id = {number}")
    numbers = {one["id"]: one["number"] for one in shop.data("identity", "list")["checks"]}
    master_key = str(data_dir / "secret" / "identity-master-key")
    did = {"wrapped_anew": 2, "master_key": master_key, "key_still_opens_copies": False}
    assert shop.data("identity", "purge") == {"purged": 1, "older_than_days": 365} | did
    nothing = {"purged": 0, "wrapped_anew": 0, "master_key": None, "key_still_opens_copies": False}
    assert shop.data("identity", "purge") == {"older_than_days": 365} | nothing
    left = {one["id"]: one["number"] for one in shop.data("identity", "list")["checks"]}
    assert left == numbers | {ids[0]: ""}
    assert "purged" in shop.run("identity", "list").stdout
    monkeypatch.setenv("TELVEND_IDENTITY_RETENTION_DAYS", "300")
    said = shop.run("identity", "purge").stdout
    assert "Destroyed what 1 checks older than 300 days knew of people." in said
    assert f"{master_key} opens no copy of them any more." in said
    assert shop.data("identity", "purge", "--older-than", "8")["purged"] == 1
    assert shop.run("identity", "purge", "--older-than", "0", code=2).stdout == ""
    assert shop.data("ledger", "check")["ok"] is True
    monkeypatch.setenv("TELVEND_IDENTITY_RETENTION_DAYS", "0")
    result = CliRunner().invoke(app, ["identity", "purge", "--database-url", shop.url])
    assert (result.exit_code, "IDENTITY_RETENTION_DAYS" in result.stderr) == (1, True)


def test_a_key_of_the_settings_is_moved_by_the_operator(
    shop: Shop, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks(shop, data_dir)
    file = data_dir / "secret" / "identity-master-key"
    given = file.read_text().strip()
    file.unlink()
    monkeypatch.setenv("TELVEND_IDENTITY_MASTER_KEY", given)
    shop.execute(
        "update verification set created_at = now() - interval '400 days' where id = (select min(id) from verification)"
    )
    said = shop.run("identity", "purge").stdout
    assert "The setting identity_master_key still opens copies of them" in said
    assert given not in said
    moved = tmp_path / "moved"
    shop.run("identity", "moved-key", str(moved))
    assert "cannot be written: File exists" in shop.refused("identity", "moved-key", str(moved))
    monkeypatch.setenv("TELVEND_IDENTITY_MASTER_KEY", moved.read_text().strip())
    assert shop.data("identity", "purge")["key_still_opens_copies"] is False
    numbers = [one["number"] for one in shop.data("identity", "list")["checks"]]
    assert numbers.count("") == 1


def test_a_price_is_changed_taken_off_and_refused(shop: Shop) -> None:
    def line(*arguments: str) -> tuple[Decimal, bool]:
        found = shop.data("identity", "price", "nin", "standard", *arguments)["prices"]
        (one,) = (price for price in found if price["card_type"] == "standard")
        return one["price"], one["active"]

    assert line("120.50") == (Decimal("120.50"), True)
    assert line("130", "--off") == (Decimal(130), False)
    assert line("130") == (Decimal(130), True)
    for amount in ("1.005", "x"):
        assert shop.refused("identity", "price", "nin", "standard", amount).startswith("amount: ")
    assert shop.refused("identity", "price", "nin", "standard", "0") != ""
    assert shop.refused("identity", "price", "bvn", "golden", "1") == "Price not found."
    assert shop.run("identity", "price", "passport", "standard", "1", code=2).stdout == ""


def test_what_an_authority_takes_is_said_listed_and_refused(shop: Shop) -> None:
    assert shop.data("identity", "costs") == {"costs": []}
    assert "Nobody has said what any takes." in shop.run("identity", "costs").stdout
    shop.run("identity", "cost", "prembly", "nin", "60", "--without", "12.50")
    shop.run("identity", "cost", "dojah", "bvn", "99.99")
    shop.run("identity", "cost", "prembly", "bvn", "1")
    said = shop.data("identity", "cost", "prembly", "bvn", "150")
    expected = [("dojah", "bvn", "99.99", "0"), ("prembly", "nin", "60", "12.50"), ("prembly", "bvn", "150", "0")]
    assert said == shop.data("identity", "costs")
    assert [
        (one["authority"], one["kind"], one["found"], one["without"], one["currency"]) for one in said["costs"]
    ] == [(authority, kind, Decimal(found), Decimal(without), "NGN") for authority, kind, found, without in expected]
    table = shop.run("identity", "costs").stdout
    assert "60.00" in table
    assert "12.50" in table
    for amount in ("1.005", "x"):
        assert shop.refused("identity", "cost", "prembly", "nin", amount).startswith("amount: ")
        assert shop.refused("identity", "cost", "prembly", "nin", "1", f"--without={amount}").startswith("without: ")
    assert shop.refused("identity", "cost", "prembly", "nin", "1", "--without=-1") != ""
    assert shop.refused("identity", "cost", "premblyy", "nin", "1") == "authority: must be prembly or dojah"
    assert shop.run("identity", "cost", "prembly", "passport", "1", code=2).stdout == ""
    assert shop.data("identity", "costs") == said


def test_a_rotated_key_opens_what_was_sealed_before_and_a_lost_one_is_one_sentence(
    shop: Shop, data_dir: Path, tmp_path: Path
) -> None:
    checks(shop, data_dir)

    async def masters(database: Database) -> set[str]:
        async with database.connection() as tx:
            return {row[0] for row in await tx.fetch("select master from identity_sealed")}

    before = shop.work(masters)
    listed = shop.data("identity", "list")
    assert shop.data("identity", "rotate-key") == {"checks": 3}
    after = shop.work(masters)
    assert len(after) == 1
    assert after.isdisjoint(before)
    assert shop.data("identity", "list") == listed
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for command in ("list", "rotate-key"):
        assert "bring it back" in shop.refused("identity", command, "--data-dir", str(elsewhere))


def test_a_reseller_that_sweeps_is_named_with_the_last_key(shop: Shop) -> None:
    shop.add_reseller()
    (key,) = (shop.data("key", "add", EMAIL, "--api", "networkdatasub")["id"],)
    assert "Nobody has swept." in shop.run("identity", "sweeps").stdout
    shop.execute(
        "insert into identity_pace"
        " (key_id, reseller_id, mode, first_at, last_at, not_before, strikes, delays, unknown, numbers)"
        f" select id, reseller_id, mode, now(), now(), now(), 3, 7, 31, 40 from api_key where id = '{key}'"
    )
    (found,) = shop.data("identity", "sweeps")["sweeps"]
    assert found["mode"] == "live"
    assert (found["key_id"], found["email"], found["delays"], found["unknown"], found["numbers"]) == (
        key, EMAIL, 7, 31, 40,
    )  # fmt: skip
    assert EMAIL in shop.run("identity", "sweeps").stdout


# Fundings


def begin(shop: Shop, *states: PaymentState) -> list[Funding]:
    """Fundings of a sandbox whose payers have done this, and of which we have not heard."""

    # Its book is another company's, and outlives what is emptied between tests.
    shop.execute("truncate sandbox.payment")

    async def work(database: Database) -> list[Funding]:
        async with funding_shop(database, sandbox=True) as made:
            fundings = []
            for state in states:
                funding = await made.start()
                async with database.transaction() as tx:
                    payment = await sandbox_store.by_reference(tx, funding.reference)
                    assert payment is not None
                    if state is not PaymentState.OPEN:
                        await sandbox_store.decide(tx, payment.token, state, None)
                fundings.append(funding)
            return fundings

    return shop.work(work)


def test_asking_the_gateway_credits_once_and_lists_filter_and_page(shop: Shop) -> None:
    paid, declined, open_ = begin(shop, PaymentState.PAID, PaymentState.DECLINED, PaymentState.OPEN)
    (user,) = shop.data("user", "list")["users"]

    def listed(*filters: str) -> list[str]:
        return [one["reference"] for one in shop.data("funding", "list", *filters)["fundings"]]

    def naira() -> Decimal:
        wallets = shop.data("wallet", "show", user["email"])["wallets"]
        return next(Decimal(w["balance"]) for w in wallets if (w["mode"], w["currency"]) == ("live", "NGN"))

    before = naira()
    assert listed() == [open_.reference, declined.reference, paid.reference]
    assert [shop.data("funding", "check", paid.reference)["state"] for _ in range(2)] == ["completed", "completed"]
    assert naira() == before + paid.amount.decimal
    assert shop.run("funding", "check", declined.reference).stdout == f"{declined.reference} is failed.\n"
    assert shop.data("funding", "check", open_.reference)["state"] == "pending"
    assert listed("--state", "completed") == [paid.reference]
    assert listed("--email", user["email"], "--state", "failed") == [declined.reference]
    assert listed("--attention") == []
    page = shop.data("funding", "list", "--limit", "2")
    assert page["next"] == declined.id
    assert listed("--limit", "2", "--before", str(page["next"])) == [paid.reference]
    assert f"--before {open_.id}" in shop.run("funding", "list", "--limit", "1").stdout
    assert "credited" in shop.run("funding", "show", paid.reference).stdout
    moved = shop.data("wallet", "statement", user["email"], "NGN")["statement"][0]
    assert (moved["reference"], moved["change"]) == (paid.reference, paid.amount.decimal)
    assert shop.data("ledger", "check")["ok"] is True
    # The check in a reference is not decoration: another one is nobody's funding.
    for command, unknown in (("show", ""), ("check", paid.reference[:-6] + "000000"), ("resolve", str(paid.id))):
        more = ("--note", "x") if command == "resolve" else ()
        assert shop.refused("funding", command, unknown, *more) == "Funding not found."


def test_a_payment_that_does_not_fit_waits_for_a_person_and_a_note_ends_that(shop: Shop) -> None:
    (funding,) = begin(shop, PaymentState.PAID)
    shop.execute("update sandbox.payment set amount_minor = amount_minor - 1")
    sentence = shop.run("funding", "check", funding.reference).stdout
    assert sentence.startswith(f"{funding.reference} is pending. Something does not fit: ")
    assert [one["id"] for one in shop.data("funding", "list", "--attention")["fundings"]] == [funding.id]
    assert "look at it" in shop.run("funding", "list").stdout
    (note,) = shop.data("funding", "show", funding.reference)["notes"]
    assert note["text"].startswith("Paid ")
    assert note["text"] in shop.run("funding", "show", funding.reference).stdout
    command = ("funding", "resolve", funding.reference, "--note")
    for text in ("  ", "a\nb", "x" * 501):
        assert shop.refused(*command, text).startswith("note: ")
    done = shop.data(*command, "[red]paid back at the gateway")
    assert (done["state"], done["attention"]) == ("failed", False)
    assert "[red]paid back at the gateway" in shop.run("funding", "show", funding.reference).stdout
    assert shop.data("funding", "list", "--attention")["fundings"] == []
    assert shop.data("ledger", "check")["ok"] is True


def test_what_a_gateway_sent_is_shown_without_what_steers_a_terminal(shop: Shop) -> None:
    async def work(database: Database) -> Funding:
        async with funding_shop(database) as made:
            funding = await made.start()
            await made.fundings.notice("told", *notice_about(funding.reference, concern="Disputed\x1b[2J."))
            for _ in range(2):
                await made.fundings.notice("told", *notice_about("FND-77-nobody"))
            return funding

    funding = shop.work(work)
    (stray,) = shop.data("funding", "strays")["notices"]
    assert (stray["gateway"], stray["event"], stray["times"], stray["kept"]) == (
        "told", "told", 2, {"reference": "FND-77-nobody"},
    )  # fmt: skip
    assert stray["concern"] == "This payment is for none of our fundings."
    assert "FND-77-nobody" in shop.run("funding", "strays").stdout
    shown = shop.run("funding", "show", funding.reference).stdout
    assert "Disputed?[2J." in shown
    assert "\x1b" not in shown
    (notice,) = shop.data("funding", "show", funding.reference)["notices_received"]
    assert msgspec.json.encode(notice["kept"]) == msgspec.json.encode({"reference": funding.reference})
    # Its gateway is not one of this shop's: nothing follows from asking.
    assert shop.data("funding", "check", funding.reference)["state"] == "pending"


def test_what_a_command_logs_is_on_stderr_and_its_answer_alone_on_stdout(shop: Shop) -> None:
    (funding,) = begin(shop, PaymentState.PAID)
    shop.execute("update sandbox.payment set amount_minor = amount_minor - 1")
    done = subprocess.run(
        [sys.executable, "-m", "telvend", "funding", "check", funding.reference, "--json", "--database-url", shop.url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert one_object(done.stdout)["attention"] is True
    assert "funding_does_not_fit" in done.stderr
