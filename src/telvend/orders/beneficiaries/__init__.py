"""Named numbers: whom a reseller buys for again and again."""
