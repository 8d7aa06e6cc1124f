"""What subscribers have: buckets, the rules by which they are used, and the postings that change them."""
