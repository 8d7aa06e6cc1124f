"""A text that must not be seen: it prints as stars and is opened only where it is used."""

import hashlib
import secrets
from typing import Final, NoReturn

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Secret:
    """Wraps a key, a token or a PIN. `reveal()` is the only way to the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is not pickled: the text would stand in the open.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(_bytes(self._text), _bytes(other._text))

    def __hash__(self) -> int:
        return hash(self._text)


def random_text(length: int) -> str:
    """Letters and digits from the system's generator: 5.95 bits a character."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def digest(text: str) -> bytes:
    """What is stored of a key: 32 bytes that cannot be turned back into it.

    A plain SHA-256 is enough for a text that a generator made with over 128 bits; it would not be for a password.
    """
    return hashlib.sha256(_bytes(text)).digest()


def _bytes(text: str) -> bytes:
    # What came in a header or an environment variable may hold halves of characters.
    return text.encode("utf-8", "surrogatepass")
