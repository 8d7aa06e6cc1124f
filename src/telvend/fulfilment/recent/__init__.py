"""How the networks have delivered lately, for people who buy."""
