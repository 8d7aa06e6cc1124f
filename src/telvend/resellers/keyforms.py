"""What keys look like: the forms of every API that the shop serves, told apart by their prefixes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from telvend.kit.mode import Mode

KEY_LETTERS: Final = 40
"""The letters and digits that follow the prefix and the mode."""


@dataclass(frozen=True, slots=True)
class KeyForm:
    """The keys of one public API: its name, and what they begin with. A key of one API is worth nothing in another.

    `token_prefix` is what its access tokens begin with, where a key has a secret too and the two are turned into tokens by
    OAuth; empty where a key stands alone.
    """

    api: str
    prefix: str
    token_prefix: str = ""

    @property
    def has_secret(self) -> bool:
        return self.token_prefix != ""


class KeyForms:
    """The forms of all APIs. `names` are the names of the APIs, in the order in which they were given."""

    def __init__(self, forms: Iterable[KeyForm]) -> None:
        """Raises ValueError where two APIs share a name or a prefix."""
        forms = tuple(forms)
        self._forms = {form.api: form for form in forms}
        self.names: Final = tuple(self._forms)
        token_prefixes = tuple(form.token_prefix for form in forms if form.token_prefix)
        prefixes = tuple(form.prefix for form in forms)
        if len(self.names) < len(forms) or len({*prefixes, *token_prefixes}) < len(prefixes) + len(token_prefixes):
            raise ValueError(
                f"Two APIs share a name or a prefix of their keys: {', '.join(form.api for form in forms)}."
            )
        self._token_prefixes = token_prefixes
        self._starts = (*token_prefixes, *(f"{prefix}{mode}_" for prefix in prefixes for mode in Mode), *prefixes)
        self._matches = {form.api: _pattern(form).fullmatch for form in forms}

    def of(self, api: str) -> KeyForm | None:
        """Return the form of an API's keys; None for an API that is not served."""
        return self._forms.get(api)

    def fits(self, api: str, text: str) -> bool:
        """Return whether `text` looks like a key, or a token, of this API."""
        match = self._matches.get(api)
        return match is not None and match(text) is not None

    def is_token(self, text: str) -> bool:
        """Return whether a text that was sent as a credential would be a token rather than a key."""
        return text.startswith(self._token_prefixes)

    def hint_of(self, text: str) -> str:
        """Return what may be shown of a key or token: its beginning and four letters of either end, which leave 190 bits.

        Of any other text only a beginning that keys have, and the length: it may be somebody's password.
        """
        start = next((start for start in self._starts if text.startswith(start)), "")
        if any(match(text) for match in self._matches.values()):
            return f"{text[: len(start) + 4]}...{text[-4:]}"
        return f"{start}... ({len(text)} characters)"


def _pattern(form: KeyForm) -> re.Pattern[str]:
    starts = f"{form.prefix}(?:{'|'.join(Mode)})_"
    if form.token_prefix:
        starts = f"(?:{starts}|{form.token_prefix})"
    return re.compile(rf"{starts}[A-Za-z0-9]{{{KEY_LETTERS}}}", re.ASCII)
