-- The look-up made fast, experiments between two models' lists, and a rollback to any publication that is kept.

-- a long read would hold this up, and this every read after it
set local lock_timeout = '5s';

create table reco.experiments (
    experiment_id bigint generated always as identity primary key,
    name          text not null unique,
    champion      text not null references reco.models,
    challenger    text not null references reco.models,
    share         double precision not null check (share > 0 and share < 1),
    salt          text not null,
    status        text not null check (status in ('running', 'stopped')),
    started_ds    date not null,
    created_at    timestamptz not null default now(),
    stopped_at    timestamptz,
    reason        text                   -- why it was stopped
);
comment on table reco.experiments is
    'One row an experiment: a share of the users gets the challenger''s lists; one runs at most.';
comment on column reco.experiments.share is 'Of the users, in the challenger''s arm.';
comment on column reco.experiments.salt is 'Hashed with the user id: another salt, another split.';
create unique index experiments_one_running on reco.experiments ((true)) where status = 'running';

alter table reco.publications add column experiment_id bigint references reco.experiments;
comment on column reco.publications.experiment_id is 'The experiment that its lists of the challenger are of.';
alter table reco.publications add column checks jsonb;
comment on column reco.publications.checks is 'What its checks measured.';
alter table reco.publications add column withdrawn_at timestamptz;
comment on column reco.publications.withdrawn_at is
    'When a rollback took it away; a later reco.rollback() passes it over.';

-- one partition a publication, as the other large tables
create table reco.challenger_lists (
    publication_id bigint not null,
    user_id        text not null,
    source         text not null,
    item_ids       text[] not null,
    scores         real[] not null,
    reasons        integer[],
    primary key (publication_id, user_id)
) partition by list (publication_id);
comment on table reco.challenger_lists is
    'Lists of who is in the challenger''s arm; they are in reco.recommendation_lists too: stopping works at once.';

create function reco.in_challenger(user_id text, salt text, share double precision) returns boolean
language sql immutable parallel safe
return ('x' || encode(substr(sha256(convert_to(salt || ':' || user_id, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint
       / 4294967296.0::double precision < share;
comment on function reco.in_challenger is
    'Whether a user is in the challenger''s arm: the first four bytes of SHA-256 over "salt:user", as a share of 2^32.';

-- Reads few rows by key. Plans are made once a session: with one partition a publication the planner takes a plan for
-- all of them to be dear and would plan anew at each call. `limit 1` leads it to the index of the live row.
create or replace function reco.recommend(user_id text, k integer default 10)
returns table (rank integer, item_id text, score real, source text, reason text)
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set max_parallel_workers_per_gather = 0
as $$
#variable_conflict use_column
declare
    wanted constant integer := greatest(coalesce(k, 10), 0);
    live bigint;
    experiment bigint;
    ids text[];
    points real[];
    codes integer[];
    told_codes integer[];
    told_texts text[];
    otherwise text;
begin
    select p.publication_id, p.experiment_id into live, experiment
    from reco.publications p
    where p.status = 'live'
    limit 1;
    if experiment is not null then
        select c.source, c.item_ids[:wanted], c.scores[:wanted], c.reasons[:wanted] into source, ids, points, codes
        from reco.experiments e
        join reco.challenger_lists c on c.publication_id = live and c.user_id = recommend.user_id
        where e.experiment_id = experiment and e.status = 'running'
          and reco.in_challenger(recommend.user_id, e.salt, e.share);
    end if;
    if ids is null then
        select l.source, l.item_ids[:wanted], l.scores[:wanted], l.reasons[:wanted] into source, ids, points, codes
        from reco.recommendation_lists l
        where l.publication_id = live and l.user_id = recommend.user_id;
    end if;
    if ids is null then
        select 'popular', p.item_ids[:wanted], p.scores[:wanted] into source, ids, points
        from reco.popular_lists p
        where p.publication_id = live;
    end if;
    if codes is not null then
        select array_agg(t.code), array_agg(t.text) into told_codes, told_texts
        from reco.reason_texts t
        where t.publication_id = live and t.code = any (codes);
    end if;
    otherwise := case source
                     when 'personal' then 'close to what you chose before'
                     when 'segment' then 'popular with people like you'
                     else 'popular now'
                 end;
    for place in 1 .. coalesce(cardinality(ids), 0) loop
        rank := place;
        item_id := ids[place];
        score := points[place];
        reason := coalesce(told_texts[array_position(told_codes, codes[place])], otherwise);
        return next;
    end loop;
end
$$;
comment on function reco.recommend is
    'The live top-k of a user, the challenger''s in its arm; an unknown user gets what is popular.';

-- the live id as a value of its own: only the live partitions are read, by key where a user is asked for
create or replace view reco.recommendations as
select l.user_id, entry.rank::integer as rank, entry.item_id, entry.score, l.publication_id
from reco.recommendation_lists l
left join reco.experiments e
    on e.status = 'running'
    and e.experiment_id = (select p.experiment_id from reco.publications p where p.status = 'live' limit 1)
left join reco.challenger_lists c
    on c.publication_id = (select p.publication_id from reco.publications p where p.status = 'live' limit 1)
    and c.user_id = l.user_id
    and reco.in_challenger(l.user_id, e.salt, e.share)
cross join lateral unnest(coalesce(c.item_ids, l.item_ids), coalesce(c.scores, l.scores)) with ordinality
    as entry (item_id, score, rank)
where l.publication_id = (select p.publication_id from reco.publications p where p.status = 'live' limit 1);
comment on view reco.recommendations is 'What reco.recommend serves to each user, one row a recommendation.';

create or replace function reco.rollback() returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    current_id bigint;
    previous_id bigint;
begin
    -- the same lock that publishing takes: a swap and a rollback never interleave
    perform pg_advisory_xact_lock(hashtext('reco.publications'));
    select publication_id into current_id from reco.publications where status = 'live';
    select max(publication_id) into previous_id
    from reco.publications
    where status = 'retired' and withdrawn_at is null and (current_id is null or publication_id < current_id);
    if previous_id is null then
        raise exception 'no earlier publication is kept, nothing to roll back to';
    end if;
    update reco.publications set status = 'retired', withdrawn_at = now() where publication_id = current_id;
    update reco.publications set status = 'live', activated_at = now() where publication_id = previous_id;
    return previous_id;
end
$$;

create function reco.rollback(to_publication bigint) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_status text;
begin
    perform pg_advisory_xact_lock(hashtext('reco.publications'));  -- what publishing and reco.rollback() take
    select p.status into found_status from reco.publications p where p.publication_id = to_publication;
    if found_status is distinct from 'retired' then
        raise exception 'publication % %', coalesce(to_publication::text, 'null'), case found_status
            when 'live' then 'is live already'
            when 'failed' then 'failed its checks and can''t be made live'
            when 'staging' then 'is not complete and can''t be made live'
            else 'is not kept: roll back to one with status retired in reco.publications'
        end;
    end if;
    if to_regclass('reco.recommendation_lists_' || to_publication) is null then
        raise exception 'publication % has lost its tables and can''t be made live', to_publication;
    end if;
    update reco.publications set status = 'retired' where status = 'live';
    update reco.publications set withdrawn_at = now()
    where status = 'retired' and publication_id > to_publication and withdrawn_at is null;
    update reco.publications set status = 'live', activated_at = now(), withdrawn_at = null
    where publication_id = to_publication;
    return to_publication;
end
$$;
comment on function reco.rollback(bigint) is 'Makes a retired publication live, in one transaction; returns its id.';

alter table reco.experiments owner to reco_writer;
alter table reco.challenger_lists owner to reco_writer;
alter function reco.in_challenger(text, text, double precision) owner to reco_writer;
alter function reco.rollback(bigint) owner to reco_writer;

revoke execute on function reco.in_challenger(text, text, double precision), reco.rollback(bigint) from public;
-- the view calls it in its reader's name; it reads nothing
grant execute on function reco.in_challenger(text, text, double precision) to reco_reader;
