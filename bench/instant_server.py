"""`python -m bench.instant_server serve …`: `telvend serve` in one process, with a provider that has delivered at once.

This measures the cost of our own part of a delivery. The provider is only for the benchmark; no setting turns it on.
"""

import os
from typing import Any

from bench.in_process import Instant
from telvend.bootstrap import vendors
from telvend.cli import main
from telvend.config import Settings
from telvend.providers.contract import Provider

_providers_of_shop = vendors.providers_of


def _with_instant(settings: Settings, *others: Any) -> list[Provider]:
    return [Instant(settings.fulfilment_concurrency), *_providers_of_shop(settings, *others)]


if __name__ == "__main__":
    # A shop with a live provider refuses to start with the pretended network.
    os.environ["TELVEND_OWN_NETWORK"] = "false"
    setattr(vendors, "providers_of", _with_instant)  # noqa: B010 - its signature is narrower
    main()
