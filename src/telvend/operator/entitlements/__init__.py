"""What a product or a refill turns into: bundles of the network, refill profiles, and the faults of the sandbox."""
