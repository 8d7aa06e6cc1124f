"""Pauses of networks: by a person, or because a network has delivered nothing for some minutes."""
