"""What was sold arrives: once for each reference."""
