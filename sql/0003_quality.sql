-- What each expectation on each table found, night by night. No row holds a value of a personal column.

create table reco.quality_results (
    ds          date not null,
    table_name  text not null,
    position    smallint not null,       -- in the table's suite
    expectation text not null,
    column_name text,
    severity    text not null check (severity in ('fail', 'warn')),
    success     boolean not null,
    observed    text not null,
    detail      text not null,
    checked_at  timestamptz not null default now(),
    primary key (ds, table_name, position)
);
comment on table reco.quality_results is 'What each expectation on each table of a night found; the last check of it counts.';

alter table reco.quality_results owner to reco_writer;
