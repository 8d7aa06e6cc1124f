"""What a server says when it begins to serve."""

import pytest

from telvend.cli.server import announce
from telvend.config import Settings


@pytest.mark.parametrize(
    ("host", "public_url", "warned"),
    [("127.0.0.1", "", False), ("127.7.0.1", "", False), ("::1", "", False), ("localhost", "", False), ("0.0.0.0", "", True),  # noqa: S104
     ("::", "", True), ("192.0.2.7", "", True), ("shop.internal", "", True), ("0.0.0.0", "https://api.shop.example", False)],  # noqa: S104
)  # fmt: skip
def test_a_public_address_without_public_url_is_told_what_that_means(
    host: str, public_url: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(Settings(host=host, public_url=public_url), as_json=True)
    said = capsys.readouterr()
    assert ("TELVEND_PUBLIC_URL" in said.err) is warned
    assert "TELVEND_PUBLIC_URL" not in said.out
