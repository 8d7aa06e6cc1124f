"""What accounts of one kind held and how they changed, by unit: a provider's accounts in one currency, or all wallets of one."""
