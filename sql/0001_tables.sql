-- The contract's tables. Owned by reco_writer, the pipeline's role; reco_reader may only use the look-ups (0002).

do $$
declare
    -- from PostgreSQL 16 on, a member may be one without the right to act as the role
    membership text := case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
    if not exists (select from pg_roles where rolname = 'reco_writer') then
        create role reco_writer nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'reco_reader') then
        create role reco_reader nologin;
    end if;
    -- who migrates is who runs the pipeline; a superuser and a member need no grant
    if not pg_has_role(current_user, 'reco_writer', membership) then
        execute format('grant reco_writer to %I', current_user);
    end if;
    if not pg_has_role(current_user, 'reco_reader', membership) then
        execute format('grant reco_reader to %I', current_user);
    end if;
    -- by default anybody may fill the disk with temporary tables
    execute format('revoke temporary on database %I from public', current_database());
end
$$;

create schema if not exists reco;
grant usage, create on schema reco to reco_writer;
grant usage on schema reco to reco_reader;

create table reco.models (
    model_version    text primary key,
    kind             text not null,
    ds               date not null,
    status           text not null check (status in ('candidate', 'champion', 'rejected', 'retired')),
    metrics          jsonb not null default '{}',
    config           jsonb not null default '{}',
    artifact         text not null,
    checksum         text not null,
    serving_artifact text,               -- the same configuration fitted once more on everything up to ds
    serving_checksum text,
    trained_at       timestamptz not null default now(),
    judged_at        timestamptz
);
comment on table reco.models is 'One row a model version; the champion is what serves.';
create unique index models_one_champion on reco.models ((true)) where status = 'champion';

create table reco.gate_results (
    model_version text not null references reco.models on delete cascade,
    rule          text not null,
    value         double precision,
    threshold     double precision,
    passed        boolean not null,
    detail        text not null,
    primary key (model_version, rule)
);
comment on table reco.gate_results is 'Each rule of the gate: its figure, its threshold, and whether it passed.';

create table reco.publications (
    publication_id bigint generated always as identity primary key,
    ds             date not null,
    model_version  text not null references reco.models,
    status         text not null check (status in ('staging', 'live', 'retired', 'failed')),
    users          integer,
    items          integer,
    fingerprint    text not null,        -- of everything that decides the content
    detail         text,                 -- why it failed
    created_at     timestamptz not null default now(),
    activated_at   timestamptz
);
comment on table reco.publications is 'One row a loaded publication; exactly one is live.';
create unique index publications_one_live on reco.publications ((true)) where status = 'live';

-- The three large tables have one partition a publication: loaded by COPY as a table of its own, attached
-- when complete, dropped whole when retired for good.
create table reco.recommendation_lists (
    publication_id bigint not null,
    user_id        text not null,
    source         text not null,
    item_ids       text[] not null,
    scores         real[] not null,
    reasons        text[],
    primary key (publication_id, user_id)
) partition by list (publication_id);

create table reco.catalogue (
    publication_id  bigint not null,
    item_id         text not null,
    label           integer not null,    -- the item's number in the HNSW index
    title           text,
    creator         text,
    similar_ids     text[] not null,
    similar_scores  real[] not null,
    primary key (publication_id, item_id)
) partition by list (publication_id);

create table reco.search_postings (
    publication_id bigint not null,
    trigram        text not null,
    labels         integer[] not null,
    primary key (publication_id, trigram)
) partition by list (publication_id);

create table reco.popular_lists (
    publication_id bigint primary key references reco.publications on delete cascade,
    item_ids       text[] not null,
    scores         real[] not null
);

create table reco.indexes (
    publication_id bigint not null references reco.publications on delete cascade,
    name           text not null,
    chunk          integer not null,
    data           bytea not null,
    checksum       text not null,        -- SHA-256 of all chunks together, in hexadecimal
    space          text not null,
    dimension      integer not null,
    elements       integer not null,
    recall         real not null,        -- measured against exact search when it was built
    primary key (publication_id, name, chunk)
);
comment on table reco.indexes is 'HNSW index files, cut into chunks; labels are reco.catalogue.label.';

create table reco.stage_runs (
    run_id     bigint generated always as identity primary key,
    ds         date not null,
    stage      text not null,
    status     text not null check (status in ('done', 'failed')),
    started_at timestamptz not null,
    seconds    double precision not null,
    summary    text not null,
    detail     jsonb not null default '{}'
);
comment on table reco.stage_runs is 'What each stage of each night did, and how long it took.';
create index stage_runs_by_night on reco.stage_runs (ds, stage, started_at);

alter table reco.models owner to reco_writer;
alter table reco.gate_results owner to reco_writer;
alter table reco.publications owner to reco_writer;
alter table reco.recommendation_lists owner to reco_writer;
alter table reco.catalogue owner to reco_writer;
alter table reco.search_postings owner to reco_writer;
alter table reco.popular_lists owner to reco_writer;
alter table reco.indexes owner to reco_writer;
alter table reco.stage_runs owner to reco_writer;
