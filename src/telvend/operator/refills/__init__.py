"""Refills: by voucher, or paid from a partner's wallet; exactly once for each transaction of a partner."""
