"""What may be an e-mail address."""

import pytest

from telvend.resellers.model import is_email


@pytest.mark.parametrize(
    "text", ["a@b.co", "kofi.mensah+shop@example.com.gh", "O'Neil@ex-ample.org", "root@localhost", "A@B.CO"]
)
def test_an_address_is_an_address(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "@b.co", "a@", "a@@b.co", "a b@c.co", "a@b.co\n", "a@-b.co", "a@b..co", "a@b.co.", "é@b.co", "a\x00@b.co",
     "x" * 65 + "@b.co", "a@" + "b." * 130 + "co", "a@b,c"],
)  # fmt: skip
def test_what_is_no_address_is_not(text: str) -> None:
    assert not is_email(text)
