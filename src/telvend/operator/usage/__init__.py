"""Using what subscribers have: consumed, reserved, corrected by hand, and taken away when it is over."""
