"""`order place` and `order show` as a person uses them, over a server that is killed between the delivery and its answer."""

import json

import pytest

from tests.contract.product_kind_cases import CASES
from tests.e2e.shop import Shop, wait_for

EMAIL = "ama@example.com"
SECRET_ITEMS = {"electricity": "tokens", "exam_pin": "pins"}


def place(name: str, reference: str) -> list[str]:
    case = CASES[name]
    amount = ["--amount", case.amount] if case.amount is not None else []
    return [
        "order", "place", "--product", case.product, "--to", f"{case.recipient}0000", "--email", EMAIL, "--mode", "test",
        "--reference", reference, *amount,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "failpoint", ["attempt.after_send", pytest.param("settle.before_commit", marks=pytest.mark.soak)]
)
def test_a_secret_survives_kill_9_between_its_delivery_and_the_answer(fresh_shop: Shop, failpoint: str) -> None:
    shop = fresh_shop
    (shop.data_dir / "telvend.toml").write_text("delivery_wait_s = 1\n")
    (shop.data_dir / "telvend.toml").chmod(0o600)
    shop.start("--no-fulfilment")
    shop.telvend("wallet", "credit", EMAIL, "100000", "NGN", "--reference", "play", "--mode", "test")
    placed = shop.several([place(name, f"{name} 1") for name in SECRET_ITEMS])
    # Nothing delivers: the commands have waited, and say so.
    assert {(order["state"], order["receipt"]) for order in placed} == {("accepted", None)}
    shop.stop()
    shop.start(failpoints=f"{failpoint}=kill", may_end=True)
    wait_for(shop.has_ended, 30, f"killed at {failpoint}")
    shop.start()
    shop.wait_until_final()
    for name, items in SECRET_ITEMS.items():
        again, shown, once_more = shop.several(
            [place(name, f"{name} 1"), ["order", "show", f"{name} 1", "--email", EMAIL], place(name, f"{name} 1")]
        )
        assert (again["state"], again["replayed"]) == ("delivered", True)
        assert again["receipt"]["complete"]
        assert len(again["receipt"][items]) == 1
        assert again["receipt"] == shown["receipt"] == once_more["receipt"]
        assert len(shown["readings"]) == 2
        listed = (
            shop.run("order", "list", "--json").stdout + shop.run("simulator", "book", "--json").stdout + shop.log()
        )
        for text in again["receipt"][items][0].values():
            assert len(text) < 8 or text not in listed
    shop.check_books()
    assert json.dumps(shop.telvend("doctor")).count("payload key") >= 1
