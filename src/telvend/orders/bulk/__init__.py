"""Lists of purchases that are uploaded on a page, checked whole, and bought in the background, each line exactly once."""
