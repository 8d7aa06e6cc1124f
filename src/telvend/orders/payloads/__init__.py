"""What deliveries carry back (tokens, PINs): sealed beside the order, and opened for its receipt alone."""
