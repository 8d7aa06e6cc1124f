"""What the shop has sold, earned and owes, by day; and the months that are closed."""
