"""The console: what the operator of the shop sees in a browser, below `/console`.

Each file is one subject with its `pages(console)`; rights.py says who may do what; verbs.py is how everything is done that changes
money or access.
"""
