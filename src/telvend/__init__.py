"""Telvend: sell airtime, mobile data and identity checks by API, from prepaid wallets that cannot lose money."""

__version__ = "0.1.0"
