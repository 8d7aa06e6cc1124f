"""Puts the rooms together, starts everything and closes everything. Only here are concrete providers and dialects known.

    async with open_for_command(settings, url) as shop:      what a command asks for; nothing runs
    async with open_shop(settings, url) as shop:             everything; nothing runs
    async with work(settings, url) as shop:                  a process that delivers orders
    async with serve(settings, url, listen) as (shop, http): a process that answers HTTP, and may deliver

| file | says |
|---|---|
| `registry.py` | which APIs, authorities and failpoints there are |
| `vendors.py` | whom the shop reaches: providers, authorities, gateways, the mail server |
| `shop.py` | each component, and what it is made of |
| `applications.py` | what answers HTTP, and where |
| `loading.py` | what is imported before a process serves |
| `running.py` | opening, starting and closing |

A process that runs has made everything before it begins (`Shop.complete`).
"""

from telvend.bootstrap.applications import applications
from telvend.bootstrap.loading import load_modules
from telvend.bootstrap.registry import APIS, AUTHORITIES, FAILPOINTS
from telvend.bootstrap.running import open_for_command, open_shop, serve, work
from telvend.bootstrap.shop import Shop

__all__ = [
    "APIS",
    "AUTHORITIES",
    "FAILPOINTS",
    "Shop",
    "applications",
    "load_modules",
    "open_for_command",
    "open_shop",
    "serve",
    "work",
]
