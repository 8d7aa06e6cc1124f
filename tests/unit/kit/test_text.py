"""kit/text.py: which texts are refused, and what the caller is told."""

import pytest

from telvend.errors import InvalidInput
from telvend.kit.text import require_text


@pytest.mark.parametrize("text", ["a", "a" * 5, " ", "Ɔkyere", "a b"])
def test_a_printable_text_within_its_length_passes(text: str) -> None:
    require_text("name", text, 6)


@pytest.mark.parametrize("text", ["", "a" * 7, "a\nb", "a\x00", "\u202e"])
def test_an_empty_long_or_unprintable_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="must be 1 to 6 printable characters"):
        require_text("name", text, 6)
