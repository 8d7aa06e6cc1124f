"""How fast Telvend is, beside pgbench on the same server: `make bench`, or `python -m bench --help`.

`cases.py` lists what is measured, in the order in which it runs; README.md says what each part means.
"""
