"""Provisioning: delivers what was sold to a subscriber, once for each reference."""
