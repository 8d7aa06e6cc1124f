"""PostgreSQL as every room uses it: connections, lanes, due rows, revisions that processes poll, migrations.

It knows no table of any room but its own (`revision`, the schema's steps).
"""
