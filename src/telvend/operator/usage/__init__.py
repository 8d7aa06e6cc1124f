"""Usage: consumes, reserves and corrects what subscribers have, and takes away what is over."""
