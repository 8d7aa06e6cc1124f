-- Two people for large amounts: what one person proposes, how that ended, and what one person has done alone.

-- An act on live money that waits for a second person. Never changed or removed; how it ended stands in proposal_end.
-- reference: the operator's, or our reference of the order. who: what all spellings of the name have in common.
-- Without foreign keys: they would lock the wallet's row after that of the order.
create table proposal (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('credit', 'debit', 'refund', 'delivered', 'failed')),
    wallet_id bigint not null,
    order_id bigint,
    reference text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    mode text not null,
    reason text not null,
    proposed_by text not null,
    who text not null,
    proposed_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > proposed_at),
    check ((order_id is null) = (kind in ('credit', 'debit')))
);
create index proposal_of on proposal (wallet_id, reference);
create index proposal_of_order on proposal (order_id) where order_id is not null;
create trigger proposal_is_insert_only before update or delete or truncate on proposal
    for each statement execute function refuse_change();

-- How a proposal ended, once, unless it expired. Never changed or removed.
-- cause: of the deed, which is written by the same transaction; of a decision the order's number.
create table proposal_end (
    proposal_id bigint primary key references proposal,
    state text not null check (state in ('confirmed', 'rejected', 'withdrawn')),
    ended_by text not null,
    who text not null,
    reason text not null,
    cause bigint unique,
    ended_at timestamptz not null,
    check ((cause is not null) = (state = 'confirmed'))
);
create trigger proposal_end_is_insert_only before update or delete or truncate on proposal_end
    for each statement execute function refuse_change();

-- What one person has done alone while there was a limit: acts on one wallet within a day add up. Never changed or removed.
create table lone_act (
    cause bigint primary key,
    kind text not null,
    wallet_id bigint not null,
    amount_minor bigint not null check (amount_minor > 0),
    done_at timestamptz not null
);
create index lone_act_of on lone_act (wallet_id, done_at);
create trigger lone_act_is_insert_only before update or delete or truncate on lone_act
    for each statement execute function refuse_change();

-- What is removed or changed all the same, for audits from a checkpoint.
create trigger proposal_removal after delete or update on proposal
    for each row execute function note_removal('id');
create trigger proposal_emptied after truncate on proposal
    for each statement execute function note_removal();
alter table proposal enable always trigger proposal_removal, enable always trigger proposal_emptied;
create trigger proposal_end_removal after delete or update on proposal_end
    for each row execute function note_removal('proposal_id');
create trigger proposal_end_emptied after truncate on proposal_end
    for each statement execute function note_removal();
alter table proposal_end enable always trigger proposal_end_removal, enable always trigger proposal_end_emptied;

-- Who gave a credit by hand; empty where nobody was named.
alter table wallet_credit add column by_whom text not null default '';
