-- What a reconciliation has left over, line by line, for the page that shows it.

-- A line of a reconciliation: what our books have of it, and what the provider says. number counts from 1, what may be lost first. Texts
-- are empty, and amounts null, where a side has none. amount: the face value; cost: of our ledger; charged: what the provider took.
create table reconciliation_line (
    reconciliation_id bigint not null references reconciliation,
    number integer not null,
    side text not null check (side in ('only_here', 'only_there', 'different')),
    aspects text[] not null,
    at timestamptz,
    reference text not null,
    provider_reference text not null,
    order_reference text not null,
    reseller_id uuid,
    here text not null,
    there text not null,
    there_says text not null,
    times integer not null,
    subscriber text not null,
    there_subscriber text not null,
    product text not null,
    amount_minor bigint,
    amount_currency text,
    cost_minor bigint,
    cost_currency text,
    charged_minor bigint,
    charged_currency text,
    next_step text not null,
    primary key (reconciliation_id, number)
);
create trigger reconciliation_line_is_insert_only before update or delete or truncate on reconciliation_line
    for each statement execute function refuse_change();
