-- Counted before the request goes out again, so that whoever asks next knows that it may be on its way.
alter table attempt add column resent smallint not null default 0;
