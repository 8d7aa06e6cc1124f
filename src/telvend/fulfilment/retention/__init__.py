"""Removing what providers were asked long ago, where a shop does not keep it for good."""
