-- Vectors in SQL where pgvector is installed: items near a taste, users near an item. Without it the tables are missing
-- and the look-ups go by the similar items of the catalogue.

-- a long read would hold this up, and this every read after it
set local lock_timeout = '5s';

alter table reco.catalogue add column hidden boolean not null default false;
comment on column reco.catalogue.hidden is 'Kept from everybody by a filter: in no list, near nothing; search still finds it.';

alter table reco.indexes add column beam integer not null default 200;
comment on column reco.indexes.beam is 'hnswlib''s ef, with which its recall was measured.';

create function reco.enable_vectors() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    schema text;
begin
    if to_regclass('reco.item_vectors') is not null and to_regclass('reco.user_vectors') is not null then
        return exists (select from pg_extension where extname = 'vector');
    end if;
    if not exists (select from pg_available_extensions where name = 'vector') then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('reco.enable_vectors'));
    begin
        create extension if not exists vector schema public;
    exception when others then
        raise notice 'pgvector is there and can''t be installed in %: %', current_database(), sqlerrm;
        return false;
    end;
    -- 0.8 was the first to go on searching when a filter leaves too few
    select quote_ident(nspname) into schema
    from pg_extension e
    join pg_namespace n on n.oid = extnamespace
    where extname = 'vector' and string_to_array(substring(extversion from '^\d+\.\d+'), '.')::integer[] >= '{0,8}'
      and has_schema_privilege('reco_writer', n.oid, 'usage');
    if schema is null then
        raise notice 'pgvector must be 0.8 or newer, in a schema that reco_writer may use';
        return false;
    end if;
    -- one partition a publication, as the other large tables; each model has its own dimension
    execute format('create table if not exists reco.item_vectors (
                        publication_id bigint not null,
                        item_id        text not null,
                        embedding      %s.vector not null,
                        primary key (publication_id, item_id)
                    ) partition by list (publication_id)', schema);
    execute format('create table if not exists reco.user_vectors (
                        publication_id bigint not null,
                        user_id        text not null,
                        embedding      %s.vector not null,
                        primary key (publication_id, user_id)
                    ) partition by list (publication_id)', schema);
    comment on table reco.item_vectors is 'The model''s vectors of the items that are not hidden, as they are.';
    comment on table reco.user_vectors is 'The model''s vectors of the users: a score is the inner product with an item''s.';
    alter table reco.item_vectors owner to reco_writer;
    alter table reco.user_vectors owner to reco_writer;
    return true;
end
$$;
comment on function reco.enable_vectors is
    'Makes reco.item_vectors and reco.user_vectors where pgvector can be had; returns whether they are there.';

create function reco.nearest(
    vectors regclass, id_column name, measure text, target real[], without text[], k integer, beam integer
)
returns table (id text, distance double precision)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    schema constant text := (select extnamespace::regnamespace::text from pg_extension where extname = 'vector');
    -- what publishing indexed: up to 2,000 dimensions as they are, up to 4,000 at half the precision
    form constant text := format(
        case when cardinality(target) between 2001 and 4000 then '%s.halfvec(%s)' else '%s.vector(%s)' end,
        schema, cardinality(target));
    settings constant text[] := array[
        'hnsw.ef_search', 'hnsw.iterative_scan', 'hnsw.max_scan_tuples', 'hnsw.scan_mem_multiplier'];
    wanted constant text[] := array[
        least(greatest(2 * k, beam), 1000)::text, 'strict_order', greatest(4 * k, 20000)::text, '4'];
    before constant text[] := array(
        select current_setting(name, true) from unnest(settings) with ordinality as s (name, place) order by place);
begin
    perform set_config(name, value, true) from unnest(settings, wanted) as s (name, value);
    return query execute format(
        'select %1$I, embedding::%2$s operator(%3$s.%4$s) $1::%2$s from %5$s where %1$I <> all ($2) order by 2 limit $3',
        id_column, form, schema, measure, vectors)
    using target, without, k;
    -- the caller's own queries in this transaction go on as they were
    perform set_config(name, value, true) from unnest(settings, before) as s (name, value);
end
$$;
comment on function reco.nearest is
    'Rows of a publication''s vectors by distance to a target, through their HNSW index: a wider beam finds more.';

create function reco.near_items(publication bigint, item_ids text[], k integer)
returns table (rank integer, item_id text, score real)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    no_direction constant real := 1e-10;
    vectors constant regclass := to_regclass('reco.item_vectors_' || publication);
    schema constant text := (select extnamespace::regnamespace::text from pg_extension where extname = 'vector');
    taste real[];
begin
    if vectors is null or schema is null then
        return;
    end if;
    execute format(
        'select %1$s.avg(%1$s.l2_normalize(embedding))::real[] from %2$s where publication_id = $1 and item_id = any ($2)',
        schema, vectors)
    into taste using publication, item_ids;
    if (select sum(x * x) from unnest(taste) as x) > no_direction then
        return query
        select (row_number() over (order by n.distance, n.id))::integer, n.id, (1 - n.distance)::real
        from reco.nearest(vectors, 'item_id', '<=>', taste, near_items.item_ids, k, beam => 100) as n
        where n.distance < 'NaN'  -- a vector without direction
        order by 1;
    end if;
end
$$;
comment on function reco.near_items is 'Items by the cosine with the mean direction of the given ones, which are left out.';

create or replace function reco.similar_items(item_id text, k integer default 10)
returns setof reco.similar_item
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set max_parallel_workers_per_gather = 0
as $$
#variable_conflict use_column
declare
    most_rows constant integer := 1000;
    live constant bigint := (select p.publication_id from reco.publications p where p.status = 'live' limit 1);
begin
    return query
    select row_number::integer, c.similar_ids[row_number], c.similar_scores[row_number]
    from reco.catalogue c
    cross join generate_series(1, least(coalesce(k, 10), cardinality(c.similar_ids))) as row_number
    where c.publication_id = live and c.item_id = similar_items.item_id
    order by row_number;
    if not found then
        return query
        select n.rank, n.item_id, n.score
        from reco.near_items(live, array[similar_items.item_id],
                             least(greatest(coalesce(k, 10), 0), most_rows)) as n
        order by n.rank;
    end if;
end
$$;

create function reco.recommend_by_taste(item_ids text[], k integer default 10)
returns table (rank integer, item_id text, score real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    most_rows constant integer := 1000;
    rows_wanted constant integer := least(greatest(coalesce(k, 10), 0), most_rows);
    live constant bigint := (select p.publication_id from reco.publications p where p.status = 'live' limit 1);
    given constant text[] := array(
        select distinct id from unnest(recommend_by_taste.item_ids) as id where id is not null);
begin
    return query
    select n.rank, n.item_id, n.score from reco.near_items(live, given, rows_wanted) as n order by n.rank;
    if found then
        return;
    end if;
    return query
    with known as (
        select c.similar_ids, c.similar_scores
        from reco.catalogue c
        where c.publication_id = live and c.item_id = any (given)
    ), near as (
        select neighbour, sum(closeness) / (select count(*) from known) as mean
        from known
        cross join unnest(similar_ids, similar_scores) as one (neighbour, closeness)
        join reco.catalogue c on c.publication_id = live and c.item_id = neighbour and not c.hidden
        where neighbour <> all (given)
        group by neighbour
        order by mean desc, neighbour
        limit rows_wanted
    )
    select (row_number() over (order by mean desc, neighbour))::integer, neighbour, mean::real from near order by 1;
    if found then
        return;
    end if;
    return query
    select (row_number() over (order by place))::integer, popular, strength
    from reco.popular_lists l
    cross join unnest(l.item_ids, l.scores) with ordinality as one (popular, strength, place)
    where l.publication_id = live and popular <> all (given)
    order by place
    limit rows_wanted;
end
$$;
comment on function reco.recommend_by_taste is
    'Items close to the given ones together, closest first; what is popular where none of them is known.';

create function reco.interested_users(item_id text, k integer default 100)
returns table (rank integer, user_id text, score real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    most_rows constant integer := 10000;
    live constant bigint := (select p.publication_id from reco.publications p where p.status = 'live');
    items constant regclass := to_regclass('reco.item_vectors_' || live);
    users constant regclass := to_regclass('reco.user_vectors_' || live);
    item real[];
begin
    if items is null or users is null then
        return;
    end if;
    execute format('select embedding::real[] from %s where publication_id = $1 and item_id = $2', items)
    into item using live, interested_users.item_id;
    if item is not null then
        return query
        select (row_number() over (order by n.distance, n.id))::integer, n.id, (-n.distance)::real
        from reco.nearest(users, 'user_id', '<#>', item, '{}', least(greatest(coalesce(k, 100), 0), most_rows),
                          beam => 200) as n
        order by 1;
    end if;
end
$$;
comment on function reco.interested_users is
    'Who would care for an item: users by the inner product with its vector; none without pgvector.';

alter function reco.nearest(regclass, name, text, real[], text[], integer, integer) owner to reco_writer;
alter function reco.near_items(bigint, text[], integer) owner to reco_writer;
alter function reco.recommend_by_taste(text[], integer) owner to reco_writer;
alter function reco.interested_users(text, integer) owner to reco_writer;

-- user ids are personal: who may ask for interested users is granted one by one
revoke execute on function reco.enable_vectors(), reco.nearest(regclass, name, text, real[], text[], integer, integer),
    reco.near_items(bigint, text[], integer), reco.recommend_by_taste(text[], integer),
    reco.interested_users(text, integer) from public;
grant execute on function reco.enable_vectors() to reco_writer;
grant execute on function reco.recommend_by_taste(text[], integer) to reco_reader;

select reco.enable_vectors();
