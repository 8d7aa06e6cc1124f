"""The checks of `telvend doctor`, and what a server announces at its start."""
