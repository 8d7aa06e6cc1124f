-- A partner's subscriptions of one customer, newest first (MADAPI, GET /v2/customers/{customerId}/subscriptions). Only sales of that
-- API are in the index: every other sale pays nothing for it, and before this version there was none of them.
create index orders_subscriptions on orders (reseller_id, subscriber, id) where dialect = 'madapi';
