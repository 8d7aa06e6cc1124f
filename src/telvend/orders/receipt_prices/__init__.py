"""What a reseller has charged a customer, for the receipt."""
