-- Counted before the request goes out again, so that whoever asks next knows that it may be on its way.
alter table attempt add column resent smallint not null default 0;

-- A refusal of this moment only (the number was served a moment ago): the same provider may be tried again.
alter table attempt add column again boolean not null default false;
