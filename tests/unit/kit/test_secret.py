"""Secrets: whatever prints them shows stars."""

import json
import logging
import pickle
import traceback
from dataclasses import dataclass

import msgspec
import pytest

from telvend.kit.secret import Secret, digest, random_text

TEXT = "np_live_very-secret"


@dataclass
class Holder:
    key: Secret


@pytest.mark.parametrize(
    "shown",
    [
        str(Secret(TEXT)), repr(Secret(TEXT)), f"{Secret(TEXT)}", f"{Secret(TEXT)!r:>40}", "%s" % Secret(TEXT),  # noqa: UP031
        str([Secret(TEXT)]), str({"key": Secret(TEXT)}), repr(Holder(Secret(TEXT))), json.dumps(Secret(TEXT), default=str),
        msgspec.json.encode({"key": Secret(TEXT)}, enc_hook=str).decode(),
        logging.makeLogRecord({"msg": "key %s", "args": (Secret(TEXT),)}).getMessage(),
        str(ValueError(Secret(TEXT))),
    ],
)  # fmt: skip
def test_whatever_prints_a_secret_shows_stars(shown: str) -> None:
    assert "very-secret" not in shown
    assert "***" in shown


def test_a_traceback_with_locals_shows_stars() -> None:
    key = Secret(TEXT)
    try:
        raise ValueError(key)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    # This very test's own source line holds no text of the key.
    assert TEXT not in shown


def test_an_encoder_that_does_not_know_it_refuses_it() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret(TEXT))
    with pytest.raises((TypeError, msgspec.ValidationError)):
        msgspec.json.encode(Secret(TEXT))


def test_two_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert hash(Secret(TEXT)) == hash(Secret(TEXT))
    assert Secret(TEXT) != Secret(TEXT + "x")
    assert Secret(TEXT) != TEXT
    assert Secret("é\udcff") != Secret("\udcff")  # What an environment with broken bytes gives.
    assert Secret(TEXT).reveal() == TEXT


def test_a_secret_survives_no_pickling_into_plain_sight() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(TEXT))


def test_random_texts_are_long_plain_and_never_the_same() -> None:
    made = {random_text(32) for _ in range(500)}
    assert len(made) == 500
    assert all(len(text) == 32 and text.isascii() and text.isalnum() for text in made)
    assert len(set("".join(made))) == 62


def test_any_header_text_has_a_digest() -> None:
    digests = {digest(text) for text in ("", "a", "é", "\udcff", "a\x00", "x" * 10_000)}
    assert len(digests) == 6
    assert {len(one) for one in digests} == {32}
