"""Reports by reseller, a page at a time: who bought most, and who holds most, first."""
