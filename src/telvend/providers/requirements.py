"""What a connector demands of its settings, checked in one place so that every mistake is named at once."""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from telvend.config import ProviderSettings
from telvend.kit.secret import Secret
from telvend.provider_tables import SECRET_KEYS
from telvend.providers.upstream import ConnectorRefused, SettingsProblem

CREDENTIALS: Final = tuple(key for key in SECRET_KEYS if key != "callback_secret")
"""The keys of the settings with which we authenticate to a vendor, in their order."""

_PRINTABLE: Final = re.compile(r"[!-~]+", re.ASCII)
_HEADER_TEXT: Final = re.compile(r"[!-~]{1,1000}", re.ASCII)


def is_at(base_url: str, vendor: str) -> bool:
    """Whether an address is the vendor's own, however it is spelled: its host, or one below it."""
    host, own = (urlsplit(address).hostname or "" for address in (base_url, vendor))
    return host.rstrip(".") == own or host.rstrip(".").endswith(f".{own}")


def is_address(text: str) -> bool:
    """Whether a text is an http or https address in printable ASCII without user, password, query and fragment."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not (parts.username or parts.password or parts.query or parts.fragment)
            and _PRINTABLE.fullmatch(text) is not None
        )
    except ValueError:
        return False


class Requirements:
    """Collects what is wrong with the settings of one provider. Ask for everything, then `raise_if_any`."""

    def __init__(self, name: str, settings: ProviderSettings) -> None:
        self._name = name
        self._settings = settings
        self._problems: list[SettingsProblem] = []

    def add(self, key: str, text: str) -> None:
        self._problems.append(SettingsProblem(key, text))

    def raise_if_any(self) -> None:
        """Raises ConnectorRefused with every problem that was added."""
        if self._problems:
            raise ConnectorRefused(self._name, self._problems)

    def credentials(self, *, uses: Collection[str] = (), **wanted: str) -> tuple[Secret, ...]:
        """Return these keys of the settings, in this order; each comes with what the vendor's dashboard calls it.

        One that is missing or cannot stand in a header is a problem, and so is a key that the connector does not use: a
        credential, and of the others what is not among `uses`.
        """
        found = []
        for key, called in wanted.items():
            secret: Secret | None = getattr(self._settings, key)
            if secret is None or not secret.reveal().strip():
                self.add(key, f"is missing: {called}")
                secret = Secret("")
            elif _HEADER_TEXT.fullmatch(secret.reveal()) is None:
                self.add(key, "must be printable ASCII without blanks and line ends")
            found.append(secret)
        for key in CREDENTIALS:
            if key not in wanted and getattr(self._settings, key) is not None:
                self.add(key, f"is not used by the connector {self._settings.connector}")
        for key in ("token_url", "audience", "file"):
            if key not in uses and getattr(self._settings, key):
                self.add(key, f"is not used by the connector {self._settings.connector}")
        return tuple(found)

    def base_url(self, vendor: str) -> str:
        """Return the address to call, without a slash at its end: that of the settings, else the vendor's own."""
        return self._address("base_url", self._settings.base_url.rstrip(), vendor).rstrip("/")

    def token_url(self, vendor: str) -> str:
        """Return where tokens are: as the settings say, else the vendor's own."""
        return self._address("token_url", self._settings.token_url, vendor)

    def _address(self, key: str, given: str, vendor: str) -> str:
        text = given.strip() or vendor
        if not is_address(text):
            self.add(key, f"must be an http or https address such as {vendor}, without user, password and query")
            return vendor
        return text

    def networks(self, served: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Return what the settings leave of the (country, network) pairs that the vendor serves."""
        by_word = {f"{country}/{network}".casefold(): (country, network) for country, network in served}
        chosen = set()
        for word in self._settings.networks:
            pair = by_word.get(word.strip().casefold())
            if pair is None:
                known = ", ".join(sorted(f"{country}/{network}" for country, network in served))
                self.add("networks", f"has {word!r}, which this vendor does not serve: {known}")
            else:
                chosen.add(pair)
        return frozenset(chosen or served)
