"""What resellers are told: events of their sales, fundings and checks, sent to their endpoints as Standard Webhooks."""
