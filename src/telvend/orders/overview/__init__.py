"""What the operator's first page shows of orders: the day, the days before, and what is open."""
