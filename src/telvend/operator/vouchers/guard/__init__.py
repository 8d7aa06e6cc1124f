"""Who may try a PIN: wrong ones are counted, and whoever sends too many is locked out."""
