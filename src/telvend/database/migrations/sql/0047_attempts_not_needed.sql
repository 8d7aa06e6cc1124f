-- Orders whose attempts nothing needs any more once they are old. Each was delivered, by one attempt alone that nobody has decided by hand,
-- its cost stands in the ledger, where reports read who has delivered it, nothing was refunded, no token is still to be fetched.
-- For fulfilment/retention, which may read no table of another room.
create view order_without_needs as
select o.id, o.updated_at as delivered_at
from orders o
where o.state = 'delivered'
    and exists (select from transfer t where t.cause = o.id and t.kind = 3)
    and (select count(*) filter (where a.state = 'delivered') = 1 and not bool_or(a.by_hand) from attempt a where a.order_id = o.id)
    and not exists (select from late_report l where l.order_id = o.id)
    and not exists (select from order_refund f where f.order_id = o.id)
    and not exists (select from order_payload p where p.id = o.id and p.due_at is not null);
