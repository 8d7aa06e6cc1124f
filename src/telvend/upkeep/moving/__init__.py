"""Moving a shop from the embedded database into one of its own, so that at every moment one of the two sells."""
