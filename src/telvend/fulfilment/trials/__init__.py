"""Trials: single deliveries that the operator makes by hand to see that a provider delivers. No order, and no wallet pays."""
