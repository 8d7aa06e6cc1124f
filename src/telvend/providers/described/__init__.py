"""Upstreams that nobody has coded: a TOML file says how one is called and what its answers mean (`connector = "http"`).

`keys.py` is every key of such a file, `reader.py` reads one and explains every mistake with its line, `rules.py` refuses what
could lose money, `client.py` calls the upstream. docs/howto/describe-an-upstream.md writes one step by step.
"""
