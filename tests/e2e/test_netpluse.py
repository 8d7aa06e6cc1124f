"""The Netpluse API to the letter of its document, over HTTP, against a shop of two processes."""

import json
import re
import socket
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Keys
from tests.e2e.shop import Shop, purchase, wait_for

LIMIT_BYTES = 64 * 1024
CREATED_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
OURS = re.compile(r"NPAPI-\d+-[0-9a-z]{6}")
PATHS = [("GET", "ping"), ("GET", "balance"), ("GET", "packages"), ("POST", "purchase"), ("GET", "order-status/x")]


@pytest.fixture(scope="module")
def ama(shop: Shop, keys: Keys) -> Iterator[httpx.Client]:
    with shop.client(keys.ama) as client:
        yield client


@pytest.fixture(scope="module")
def nobody(shop: Shop) -> Iterator[httpx.Client]:
    with shop.client(None) as client:
        yield client


def new_reference() -> str:
    return f"ref-{uuid.uuid4()}"


def exact(answer: httpx.Response) -> Any:
    """The body with its numbers as they were printed."""
    return json.loads(answer.text, parse_float=Decimal)


def error_of(answer: httpx.Response, status: int) -> str:
    """The sentence of an answer that must be an error and nothing else."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    assert body["error"]
    return str(body["error"])


def age(shop: Shop, reference: str, seconds: int) -> None:
    """Make an order as old as if it had been placed so much earlier."""
    shop.sql(
        "update orders set created_at = created_at - make_interval(secs => %s) where client_reference = %s",
        seconds,
        reference,
    )


# The five endpoints -------------------------------------------------------------------------------------------------------


def test_ping_tells_the_account(ama: httpx.Client, shop: Shop) -> None:
    answer = ama.get("ping")
    assert answer.status_code == 200
    assert answer.json() == {"ok": True, "owner": answer.json()["owner"]}
    assert str(uuid.UUID(answer.json()["owner"])) == answer.json()["owner"]
    assert shop.sql("select email from reseller where id = %s", answer.json()["owner"]) == [("ama@example.com",)]


def test_balance_is_an_exact_number_of_cedis(shop: Shop, keys: Keys) -> None:
    with shop.client(keys.esi) as esi:
        answer = esi.get("balance")
    assert answer.status_code == 200
    assert re.fullmatch(r'\{"balance":450(\.00?)?,"currency":"GHS"\}', answer.text)


def test_packages_lists_every_network_cheapest_first_and_each_size_once(ama: httpx.Client) -> None:
    body = exact(ama.get("packages"))
    assert list(body) == ["packages"]
    packages = body["packages"]
    assert all(list(package) == ["network", "capacity", "price", "validity"] for package in packages)
    assert {"network": "MTN", "capacity": "1GB", "price": Decimal("4.50"), "validity": "30 Days"} in packages
    by_network: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_network.setdefault(package["network"], []).append(package)
    assert sorted(by_network) == ["AirtelTigo", "MTN", "Telecel"]
    for found in by_network.values():
        assert {"1GB", "2GB", "5GB"} <= {package["capacity"] for package in found}
        assert len({package["capacity"] for package in found}) == len(found)
        assert [package["price"] for package in found] == sorted(package["price"] for package in found)


def test_a_purchase_is_processing_then_completed(ama: httpx.Client) -> None:
    before = exact(ama.get("balance"))["balance"]
    reference = new_reference()
    answer = ama.post("purchase", json=purchase(0, reference))
    assert answer.status_code == 200, answer.text
    body = exact(answer)
    assert list(body) == ["reference", "status", "price", "balance"]
    assert OURS.fullmatch(body["reference"])
    assert body["status"] == "processing"
    assert body["price"] == Decimal("4.50")
    assert body["balance"] == before - Decimal("4.50")
    assert "idempotent-replayed" not in answer.headers
    by_ours = f"order-status/{body['reference']}"
    wait_for(lambda: ama.get(by_ours).json()["status"] == "completed", 10, "completed")
    status = ama.get(by_ours).json()
    assert list(status) == ["reference", "network", "capacity", "status", "createdAt"]
    assert (status["reference"], status["network"], status["capacity"]) == (body["reference"], "MTN", "1GB")
    assert CREATED_AT.fullmatch(status["createdAt"])
    assert ama.get(f"order-status/{reference}").json() == status


def test_a_failed_order_has_been_refunded(ama: httpx.Client) -> None:
    before = exact(ama.get("balance"))["balance"]
    reference = new_reference()
    assert ama.post("purchase", json=purchase(4, reference)).status_code == 200
    wait_for(lambda: ama.get(f"order-status/{reference}").json()["status"] == "failed", 10, "failed")
    assert exact(ama.get("balance"))["balance"] == before


def test_every_price_is_charged_as_listed(ama: httpx.Client) -> None:
    for package in exact(ama.get("packages"))["packages"][::5]:
        body = purchase(0, network=package["network"], capacity=package["capacity"])
        answer = ama.post("purchase", json=body)
        assert answer.status_code == 200, answer.text
        assert exact(answer)["price"] == package["price"]


def test_head_answers_like_get_without_a_body(ama: httpx.Client) -> None:
    for path in ("ping", "balance", "packages"):
        head, get = ama.head(path), ama.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    assert ama.head("order-status/no-such").status_code == 404


# The order of the checks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "pong", "purchase/", "ping/", "order-status", "Ping", "order_status/x", "a%2Fb%00"]
)
def test_an_unknown_path_is_404_without_a_key(nobody: httpx.Client, path: str) -> None:
    error_of(nobody.get(path), 404)


@pytest.mark.parametrize(("right", "path"), PATHS)
def test_a_wrong_method_is_405_without_a_key_and_says_which_are_right(
    nobody: httpx.Client, right: str, path: str
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - {right}:
        answer = nobody.request(method, path)
        error_of(answer, 405)
        allowed = answer.headers["allow"].replace(" ", "").split(",")
        assert right in allowed
        assert method not in allowed
        assert "ratelimit-limit" not in answer.headers


@pytest.mark.parametrize("key", [None, "", "x", "np_live_", "np_live_" + "x" * 40, "np_test_" + "Ω" * 40])
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_without_a_valid_key_everything_is_401(shop: Shop, key: str | None, method: str, path: str) -> None:
    headers = {} if key is None else {b"x-api-key": key.encode()}
    with shop.client(None) as client:
        # The key comes before the form: this body would be 400.
        answer = client.request(method, path, headers=headers, content=b"{nonsense")
    error_of(answer, 401)
    assert "ratelimit-limit" not in answer.headers


def test_a_key_is_not_accepted_in_another_place_or_spelling(shop: Shop, keys: Keys) -> None:
    with shop.client(None) as client:
        error_of(client.get("ping", headers={"authorization": f"Bearer {keys.ama}"}), 401)
        error_of(client.get("ping", headers={"authorization": f"Token {keys.ama}"}), 401)
        error_of(client.get(f"ping?x-api-key={keys.ama}"), 401)
        error_of(client.get("ping", headers={"x-api-key": keys.ama.swapcase()}), 401)
        assert client.get("ping", headers={"X-API-Key": keys.ama}).status_code == 200


def test_the_form_comes_before_the_known_reference_and_the_money(ama: httpx.Client) -> None:
    reference = new_reference()
    assert ama.post("purchase", json=purchase(0, reference)).status_code == 200
    error_of(ama.post("purchase", json=purchase("12345", reference)), 400)
    error_of(ama.post("purchase", json=purchase(0, reference, network="Vodafone")), 400)


def test_an_invalid_request_is_400_whatever_the_balance(shop: Shop, keys: Keys) -> None:
    with shop.client(keys.kofi) as kofi:
        error_of(kofi.post("purchase", json=purchase(0, capacity="777GB")), 400)
        error_of(kofi.post("purchase", json=purchase(0, capacity="100GB", network="Nope")), 400)


# The form -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{nonsense", b"nonsense", b"[]", b'[{"network":"MTN"}]', b'"text"', b"1", b"null", b"true",
        b"{}x", b"\xff\xfe", b'{"network":"\xff"}', b"[" * 60_000, b'{"a":' * 12_000, b"\x00", b"NaN",
        b'{"network": "MTN", "phoneNumber": "\\ud800", "capacity": "1GB"}',
    ],
    ids=lambda body: repr(body[:16]),
)  # fmt: skip
def test_what_is_no_json_object_is_400(ama: httpx.Client, body: bytes) -> None:
    error_of(ama.post("purchase", content=body), 400)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"network": None}, "network"),
        ({"network": ""}, "network"),
        ({"network": "Vodafone"}, "network"),
        ({"network": 1}, "network"),
        ({"network": ["MTN"]}, "network"),
        ({"phoneNumber": ""}, "phoneNumber"),
        ({"phoneNumber": None}, "phoneNumber"),
        ({"phoneNumber": 241234567}, "phoneNumber"),
        ({"phoneNumber": "0241"}, "phoneNumber"),
        ({"phoneNumber": "0302123456"}, "phoneNumber"),
        ({"phoneNumber": "08031234567"}, "phoneNumber"),
        ({"phoneNumber": "+2348031234567"}, "phoneNumber"),
        ({"phoneNumber": "٠٢٤١٢٣٤٥٦٧"}, "phoneNumber"),
        ({"phoneNumber": "0241234567x"}, "phoneNumber"),
        ({"capacity": None}, "capacity"),
        ({"capacity": ""}, "capacity"),
        ({"capacity": 1}, "capacity"),
        ({"capacity": "x" * 10_000}, "capacity"),
        ({"capacity": "1GB\n"}, "capacity"),
        ({"reference": ""}, "reference"),
        ({"reference": 1}, "reference"),
        ({"reference": "x" * 65}, "reference"),
        ({"reference": "é" * 65}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"reference": "a\tb"}, "reference"),
        ({"reference": "a\x00b"}, "reference"),
        ({"reference": "\u2028"}, "reference"),
        ({"reference": "\u200b"}, "reference"),
    ],
    ids=str,
)
def test_a_wrong_field_is_400_and_named(ama: httpx.Client, changes: dict[str, Any], field: str) -> None:
    assert field in error_of(ama.post("purchase", json=purchase(0) | changes), 400)


@pytest.mark.parametrize("field", ["network", "phoneNumber", "capacity"])
def test_a_missing_field_is_400_and_named(ama: httpx.Client, field: str) -> None:
    body = purchase(0)
    del body[field]
    assert field in error_of(ama.post("purchase", json=body), 400)


@pytest.mark.parametrize("capacity", ["3.14GB", "1gb", "1 GB", "1GB ", "01GB", "1024MB"])
def test_an_unknown_package_is_400(ama: httpx.Client, capacity: str) -> None:
    error_of(ama.post("purchase", json=purchase(0, capacity=capacity)), 400)


def test_unknown_fields_and_a_null_reference_are_ignored(ama: httpx.Client) -> None:
    body = purchase(0) | {"reference": None, "price": 0.01, "extra": {"deep": [1, None]}}
    answer = ama.post("purchase", json=body)
    assert answer.status_code == 200, answer.text
    assert exact(answer)["price"] == Decimal("4.50")


def test_the_content_type_does_not_matter(ama: httpx.Client) -> None:
    for content_type in ("text/plain", "application/json; charset=utf-8", "application/x-www-form-urlencoded"):
        answer = ama.post("purchase", content=json.dumps(purchase(0)).encode(), headers={"content-type": content_type})
        assert answer.status_code == 200, answer.text


def test_two_purchases_without_a_reference_are_two_orders(ama: httpx.Client) -> None:
    first, second = (ama.post("purchase", json=purchase(0)).json() for _ in range(2))
    assert first["reference"] != second["reference"]


def padded(bytes_wanted: int) -> bytes:
    body = json.dumps(purchase(0)).encode()
    return body[:-1] + b" " * (bytes_wanted - len(body)) + b"}"


def test_a_body_of_64_kib_is_read_and_a_longer_one_is_413(ama: httpx.Client) -> None:
    assert ama.post("purchase", content=padded(LIMIT_BYTES)).status_code == 200
    error_of(ama.post("purchase", content=padded(LIMIT_BYTES + 1)), 413)


def test_the_limit_holds_for_chunked_bodies_too(shop: Shop, keys: Keys) -> None:
    def chunks(body: bytes) -> Iterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    with shop.client(keys.ama) as client:
        assert client.post("purchase", content=chunks(padded(LIMIT_BYTES))).status_code == 200
        error_of(client.post("purchase", content=chunks(padded(LIMIT_BYTES + 1))), 413)


def test_an_endless_body_is_refused_while_it_is_still_being_sent(shop: Shop, keys: Keys) -> None:
    head = (
        f"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\nx-api-key: {keys.ama}\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode()
    chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as connection:
        connection.sendall(head + chunk * 9)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_request_that_was_cut_off_buys_nothing(shop: Shop, keys: Keys, ama: httpx.Client) -> None:
    reference = new_reference()
    body = json.dumps(purchase(0, reference)).encode()
    head = (
        f"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\nx-api-key: {keys.ama}\r\ncontent-length: {len(body) + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
    with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)
    assert shop.sql("select count(*) from orders where client_reference = %s", reference) == [(0,)]
    error_of(ama.get(f"order-status/{reference}"), 404)


# References ---------------------------------------------------------------------------------------------------------------

REFERENCES = [
    "a",
    "x" * 64,
    "é" * 64,
    "my ref/001",
    "/leading/and/trailing/",
    "a?b#c&d=e%f+g",
    "日本語 🛒",
    "..",
    "../../api/v1/ping",
    "a\\b'\"<>`;--",
    "NPAPI-1-bbbbbb",
    " ",
]


@pytest.mark.parametrize("reference", REFERENCES)
def test_an_order_is_found_by_any_reference_percent_encoded(shop: Shop, keys: Keys, reference: str) -> None:
    with shop.client(keys.ama_test) as client:
        bought = client.post("purchase", json=purchase(0, reference))
        assert bought.status_code == 200, bought.text
        encoded = "".join(f"%{byte:02X}" for byte in reference.encode())
        found = client.get(httpx.URL(f"{shop.url}/", raw_path=f"/api/v1/order-status/{encoded}".encode()))
        assert found.status_code == 200, found.text
        assert found.json()["reference"] == bought.json()["reference"]


@pytest.mark.parametrize(
    "encoded", ["no-such", "%00", "a%00b", "%0A", "%FF%FE", "x" * 65, "x" * 5000, "%", "%zz", "NPAPI-1-000000", "%20"]
)
def test_an_unknown_reference_is_404(shop: Shop, keys: Keys, encoded: str) -> None:
    with shop.client(keys.kofi) as kofi:
        error_of(kofi.get(httpx.URL(f"{shop.url}/", raw_path=f"/api/v1/order-status/{encoded}".encode())), 404)


def test_an_empty_reference_in_the_path_is_404(ama: httpx.Client) -> None:
    error_of(ama.get("order-status/"), 404)


def test_somebody_elses_order_is_not_found(shop: Shop, keys: Keys, ama: httpx.Client) -> None:
    reference = new_reference()
    ours = ama.post("purchase", json=purchase(0, reference)).json()["reference"]
    with shop.client(keys.kofi) as kofi, shop.client(keys.ama_test) as test:
        for client in (kofi, test):
            error_of(client.get(f"order-status/{reference}"), 404)
            error_of(client.get(f"order-status/{ours}"), 404)


def test_a_wrong_check_in_our_reference_is_not_found(ama: httpx.Client) -> None:
    ours = ama.post("purchase", json=purchase(0)).json()["reference"]
    forged = ours[:-1] + ("0" if ours[-1] != "0" else "1")
    error_of(ama.get(f"order-status/{forged}"), 404)


def test_the_same_request_within_a_minute_is_409_with_the_original(ama: httpx.Client) -> None:
    reference = new_reference()
    first = exact(ama.post("purchase", json=purchase(0, reference)))
    answer = ama.post("purchase", json=purchase(0, reference))
    assert answer.status_code == 409
    again = exact(answer)
    assert list(again) == ["error", "reference", "status", "price", "balance"]
    assert "idempotent-replayed" not in answer.headers
    assert {name: again[name] for name in ("reference", "price", "balance")} == {
        name: first[name] for name in ("reference", "price", "balance")
    }
    assert again["status"] in ("processing", "completed")


def test_spelling_does_not_make_another_request(ama: httpx.Client) -> None:
    reference = new_reference()
    first = ama.post("purchase", json=purchase("0241230000", reference)).json()
    for number in ("233241230000", "+233241230000", "024 123 0000", "024-123-0000", "+233 24-123 0000"):
        for network in ("MTN", "mtn", "Mtn"):
            again = ama.post("purchase", json=purchase(number, reference, network=network))
            assert again.status_code == 409
            assert again.json()["reference"] == first["reference"]


def test_another_request_under_the_reference_is_409_at_any_age_with_error_alone(shop: Shop, ama: httpx.Client) -> None:
    reference = new_reference()
    assert ama.post("purchase", json=purchase(0, reference)).status_code == 200
    others = (
        purchase(1000, reference),
        purchase(0, reference, network="Telecel"),
        purchase(0, reference, capacity="2GB"),
        purchase(0, reference, capacity="777GB"),
    )
    for seconds in (0, 61, 100_000_000):
        age(shop, reference, seconds)
        for other in others:
            error_of(ama.post("purchase", json=other), 409)


def test_the_same_request_later_is_the_order_as_it_stands_now(shop: Shop, ama: httpx.Client) -> None:
    before = exact(ama.get("balance"))["balance"]
    reference = new_reference()
    first = exact(ama.post("purchase", json=purchase(4, reference)))
    wait_for(lambda: ama.get(f"order-status/{reference}").json()["status"] == "failed", 10, "failed")
    age(shop, reference, 55)
    assert ama.post("purchase", json=purchase(4, reference)).status_code == 409
    age(shop, reference, 6)
    for _ in range(2):
        answer = ama.post("purchase", json=purchase(4, reference))
        assert answer.status_code == 200
        assert answer.headers["idempotent-replayed"] == "true"
        replay = exact(answer)
        assert list(replay) == ["reference", "status", "price", "balance"]
        assert replay == first | {"status": "failed", "balance": before}


def test_a_known_reference_is_answered_when_product_network_and_price_have_changed(shop: Shop, keys: Keys) -> None:
    """Also that the operator's changes reach both processes within a second."""
    code = next(
        product["code"]
        for product in shop.telvend("product", "list", "--network", "telecel", "--country", "GH")["products"]
        if product["size"] == "2GB"
    )
    bundle = {"network": "Telecel", "capacity": "2GB"}
    old, recent, fresh = (new_reference() for _ in range(3))
    with shop.client(keys.ama) as client:
        price = exact(client.post("purchase", json=purchase(0, old, **bundle)))["price"]
        age(shop, old, 61)
        client.post("purchase", json=purchase(0, recent, **bundle))

        def check(change: list[list[str]], back: list[list[str]], new: tuple[int, Decimal | None]) -> None:
            shop.several(change)
            try:
                for _ in range(2):
                    replay = client.post("purchase", json=purchase(0, old, **bundle))
                    assert (replay.status_code, exact(replay)["price"]) == (200, price)
                    assert client.post("purchase", json=purchase(0, recent, **bundle)).status_code == 409

                def bought() -> tuple[int, Decimal | None]:
                    with shop.client(keys.ama) as other:  # A connection of its own, perhaps to the other process.
                        answer = other.post("purchase", json=purchase(0, **bundle))
                    return answer.status_code, exact(answer).get("price")

                wait_for(lambda: all(bought() == new for _ in range(6)), 2, "the change is seen by both processes")
            finally:
                shop.several(back)

        check([["product", "off", code]], [["product", "on", code]], (400, None))
        check([["network", "off", "telecel"]], [["network", "on", "telecel"]], (400, None))
        check(
            [["product", "price", code, "99.99"]],
            [["product", "price", code, str(price)]],
            (200, Decimal("99.99")),
        )
        wait_for(lambda: client.post("purchase", json=purchase(0, fresh, **bundle)).status_code != 400, 2, "back")


def test_too_little_money_is_402_and_leaves_the_reference_free(shop: Shop, keys: Keys) -> None:
    poor, rich = new_reference(), new_reference()
    with shop.client(keys.kofi) as kofi:
        first = kofi.post("purchase", json=purchase(0, rich))
        assert (first.status_code, exact(first)["balance"]) == (200, Decimal("0.50"))
        error_of(kofi.post("purchase", json=purchase(0, poor)), 402)
        error_of(kofi.get(f"order-status/{poor}"), 404)
        assert exact(kofi.get("balance"))["balance"] == Decimal("0.50")
        # A known reference is answered from its order, whatever is left in the wallet.
        assert kofi.post("purchase", json=purchase(0, rich)).status_code == 409
        age(shop, rich, 61)
        assert kofi.post("purchase", json=purchase(0, rich)).headers["idempotent-replayed"] == "true"
        assert shop.telvend("wallet", "credit", "kofi@example.com", "4", "GHS", "--reference", "more")["balance"] == 4.5
        # Another request than the refused one: nothing of that was kept.
        second = kofi.post("purchase", json=purchase(1000, poor))
        assert (second.status_code, exact(second)["balance"]) == (200, Decimal("0"))


def test_a_test_key_has_a_wallet_references_and_orders_of_its_own(shop: Shop, keys: Keys) -> None:
    reference = new_reference()
    with shop.client(keys.ama) as live, shop.client(keys.ama_test) as test:
        assert keys.ama_test.startswith("np_test_")
        assert keys.ama.startswith("np_live_")
        live_before, test_before = (exact(client.get("balance"))["balance"] for client in (live, test))
        bought = test.post("purchase", json=purchase(0, reference))
        assert (bought.status_code, exact(bought)["balance"]) == (200, test_before - Decimal("4.50"))
        assert exact(live.get("balance"))["balance"] == live_before
        # The same reference names another order in the other mode, and another request does not conflict.
        other = live.post("purchase", json=purchase(1000, reference))
        assert other.status_code == 200
        assert other.json()["reference"] != bought.json()["reference"]
        assert live.get("ping").json() == test.get("ping").json()
        wait_for(lambda: test.get(f"order-status/{reference}").json()["status"] == "completed", 10, "completed")


# Headers ------------------------------------------------------------------------------------------------------------------


def test_every_answer_carries_a_request_id(ama: httpx.Client, nobody: httpx.Client) -> None:
    answers = [ama.get("ping"), ama.get("nothing"), ama.put("ping"), nobody.get("ping"), ama.post("purchase")]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123.DEF_4", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("a;b", False), ("ä", False)],
)
def test_a_sane_request_id_is_kept_and_any_other_replaced(ama: httpx.Client, given: str, kept: bool) -> None:
    answer = ama.get("ping", headers={b"x-request-id": given.encode()})
    assert (answer.headers["x-request-id"] == given) is kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])


def test_every_authenticated_answer_says_what_is_left_of_the_allowance(ama: httpx.Client) -> None:
    answers = [
        ama.get("ping"),
        ama.get("order-status/no-such"),
        ama.post("purchase", content=b"{"),
        ama.post("purchase", content=b" " * (LIMIT_BYTES + 1)),
        ama.post("purchase", json=purchase(0)),
        ama.head("balance"),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 400, 413, 200, 200]
    for answer in answers:
        assert answer.headers["ratelimit-limit"] == "1000000"
        assert 0 < int(answer.headers["ratelimit-remaining"]) < 1_000_000
        assert 0 <= int(answer.headers["ratelimit-reset"]) <= 60


def test_the_openapi_document_names_this_server_and_every_endpoint(shop: Shop, nobody: httpx.Client) -> None:
    document = nobody.get(f"{shop.url}/openapi/netpluse.json").json()
    assert document["servers"] == [{"url": shop.url}]
    assert sorted(document["paths"]) == [
        f"/api/v1/{path}" for path in ("balance", "order-status/{reference}", "packages", "ping", "purchase")
    ]


def test_a_client_that_stops_sending_still_gets_its_answer(shop: Shop, keys: Keys) -> None:
    body = b'{"network":"MTN","phoneNumber":"0241234567","capacity":"1GB"}'
    head = f"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\nx-api-key: {keys.ama}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as line:
        line.sendall(head.encode() + body)
        line.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_bytes_that_are_no_text_are_no_json_wherever_they_stand(shop: Shop, keys: Keys) -> None:
    body = b'{"network":"MTN","phoneNumber":"0241234567","capacity":"1GB","note":"\xff\xfe"}'
    with shop.client(keys.ama) as client:
        assert client.post("purchase", content=body).status_code == 400
