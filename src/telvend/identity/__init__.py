"""NIN and BVN checks: a sale whose value is an answer, and the safe in which the answers are kept."""
