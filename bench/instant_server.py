"""`python -m bench.instant_server serve …`: `telvend serve` in one process, with a provider that has delivered at once.

What is measured is then what our own part of a delivery costs. No other provider can be as fast, so nobody may have it by settings.
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
    # What only pretends does not stand beside a provider that takes live orders.
    os.environ["TELVEND_OWN_NETWORK"] = "false"
    setattr(vendors, "providers_of", _with_instant)  # noqa: B010 - its signature is narrower
    main()
