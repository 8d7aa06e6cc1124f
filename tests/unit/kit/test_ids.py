"""References of ours: they carry their number, and nobody guesses another's from it."""

from hypothesis import given
from hypothesis import strategies as st

from telvend.kit.ids import new_request_id, number_in, reference_of

SALT = b"salt of this shop"
numbers = st.integers(1, 10**18 - 1)


@given(numbers, st.sampled_from(["NPAPI", "NDS", "MA"]), st.binary(max_size=64))
def test_the_number_is_found_in_every_reference(number: int, prefix: str, salt: bytes) -> None:
    reference = reference_of(prefix, number, salt)
    assert number_in(reference) == number
    assert reference == reference_of(prefix, number, salt)
    assert len(reference) <= 64
    assert reference.isascii()


@given(st.text(max_size=40))
def test_no_other_text_has_a_number(text: str) -> None:
    assert number_in(text) is None


def test_what_nearly_looks_like_a_reference_has_no_number() -> None:
    good = reference_of("NPAPI", 4711, SALT)
    for text in (
        good + "\n", " " + good, good + "x", good[:-1], good.lower(), good.replace("4711", "04711"), "NPAPI-0-abcdef",
        good.replace("4711", "٤٧١١"), good.replace("4711", "-4711"), good.replace("4711", "1" * 19), "N-1-abcdef", "",
    ):  # fmt: skip
        assert number_in(text) is None, text


def test_neighbours_and_other_shops_have_other_checks() -> None:
    checks = [reference_of("NPAPI", number, SALT)[-6:] for number in range(1, 2001)]
    # 30 bits: two of two thousand agree once in five hundred such lists.
    assert len(set(checks)) >= len(checks) - 2
    elsewhere = [reference_of("NPAPI", number, b"another salt")[-6:] for number in range(1, 2001)]
    assert sum(here == there for here, there in zip(checks, elsewhere, strict=True)) <= 1


def test_checks_use_no_letters_that_are_taken_for_others() -> None:
    letters = set("".join(reference_of("NPAPI", number, SALT)[-6:] for number in range(1, 3000)))
    assert letters == set("0123456789abcdefghijklmnopqrstuvwxyz") - set("ilou")


def test_request_ids_differ() -> None:
    made = {new_request_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(one) <= 64 and one.isascii() for one in made)
