"""`telvend`, with a patience that fits into a test: it asks more often, and believes sooner that a request has never arrived.

python -m tests.e2e.upstream_shop serve --port 8000
"""

from unittest import mock

from telvend import bootstrap
from telvend.cli import main
from telvend.fulfilment.model import FulfilmentPolicy
from telvend.providers.madapi import wire as madapi
from telvend.providers.netpluse import wire as netpluse
from telvend.providers.networkdatasub import wire as networkdatasub

SETTLES_AFTER_S = 6.0
POLICY = FulfilmentPolicy(
    requery_delays_s=(1.0,) * 120, first_requery_s=0.5, longest_hint_s=1.0, maximum_not_sent=60, longest_backoff_s=1.0
)


if __name__ == "__main__":
    with (
        mock.patch.object(madapi, "SETTLES_AFTER_S", SETTLES_AFTER_S),
        mock.patch.object(netpluse, "SETTLES_AFTER_S", SETTLES_AFTER_S),
        mock.patch.object(networkdatasub, "SETTLES_AFTER_S", SETTLES_AFTER_S),
        mock.patch.object(bootstrap.Shop, "policy", POLICY),
    ):
        main()
