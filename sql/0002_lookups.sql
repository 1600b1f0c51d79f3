-- What applications call. Every look-up reads the live publication under one snapshot: the functions are STABLE,
-- so their statements see what the calling query sees, and a switch in between changes nothing for that call.

create function reco.recommend(user_id text, k integer default 10)
returns table (rank integer, item_id text, score real, source text, reason text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    live bigint := (select p.publication_id from reco.publications p where p.status = 'live');
    list record;
begin
    select l.source, l.item_ids, l.scores, l.reasons into list
    from reco.recommendation_lists l
    where l.publication_id = live and l.user_id = recommend.user_id;
    if not found then
        select 'popular' as source, p.item_ids, p.scores, null::text[] as reasons into list
        from reco.popular_lists p
        where p.publication_id = live;
    end if;
    return query
    select row_number::integer, list.item_ids[row_number], list.scores[row_number], list.source,
           coalesce(list.reasons[row_number],
                    case list.source
                        when 'personal' then 'close to what you chose before'
                        when 'segment' then 'popular with people like you'
                        else 'popular now'
                    end)
    from generate_series(1, least(coalesce(k, 10), coalesce(cardinality(list.item_ids), 0))) as row_number
    order by row_number;
end
$$;
comment on function reco.recommend is 'The live top-k of a user; an unknown user gets what is popular.';

-- a row type, because a function's `returns table` may not reuse the name of its parameter
create type reco.similar_item as (rank integer, item_id text, score real);

create function reco.similar_items(item_id text, k integer default 10)
returns setof reco.similar_item
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select row_number::integer, c.similar_ids[row_number], c.similar_scores[row_number]
    from reco.publications p
    join reco.catalogue c on c.publication_id = p.publication_id and c.item_id = similar_items.item_id
    cross join generate_series(1, least(coalesce(k, 10), cardinality(c.similar_ids))) as row_number
    where p.status = 'live'
    order by row_number;
end
$$;
comment on function reco.similar_items is 'Items close to an item, closest first; none for an unknown item.';

create function reco.trigrams(phrase text) returns text[]
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- case, accents and punctuation folded; each word padded as pg_trgm does, so that beginnings weigh more
    select coalesce(array_agg(distinct substr(padded, start, 3)), '{}')
    from regexp_split_to_table(
             regexp_replace(normalize(lower(phrase), nfkd), '[\u0300-\u036f]', '', 'g'), '[^[:alnum:]]+') as word,
         lateral (select '  ' || word || ' ') as p(padded),
         lateral generate_series(1, length(padded) - 2) as start
    where word <> ''
$$;
comment on function reco.trigrams is 'Distinct trigrams of a phrase, for typo-tolerant search without extensions.';

create function reco.search_items(query text, k integer default 10)
returns table (item_id text, title text, creator text, similarity real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    live bigint := (select p.publication_id from reco.publications p where p.status = 'live');
    wanted text[] := reco.trigrams(query);
begin
    -- similarity = shared trigrams / all trigrams of both; the best are refined on title and creator
    return query
    with candidate as (
        select label, count(*) as shared
        from reco.search_postings s, unnest(s.labels) as label
        where s.publication_id = live and s.trigram = any (wanted)
        group by label
        having count(*) >= 0.3 * cardinality(wanted)    -- less is an accident: a shared first letter
        order by shared desc, label
        limit 200 + greatest(coalesce(k, 10), 0)
    ), scored as (
        select c.item_id, c.title, c.creator, candidate.label,
               (candidate.shared / (cardinality(wanted) + cardinality(reco.trigrams(c.title)) - candidate.shared)::real)::real
                   as of_title,
               (candidate.shared / (cardinality(wanted)
                   + cardinality(reco.trigrams(concat_ws(' ', c.title, c.creator))) - candidate.shared)::real)::real
                   as of_both
        from candidate
        join reco.catalogue c on c.publication_id = live and c.label = candidate.label
    )
    select item_id, title, creator, least(greatest(of_title, of_both), 1::real)
    from scored
    order by 4 desc, label
    limit greatest(coalesce(k, 10), 0);
end
$$;
comment on function reco.search_items is 'Items by title and creator as people type them: case, accents and typos forgiven.';

create view reco.recommendations as
select l.user_id, entry.rank::integer as rank, entry.item_id, entry.score, l.publication_id
from reco.publications p
join reco.recommendation_lists l using (publication_id)
cross join lateral unnest(l.item_ids, l.scores) with ordinality as entry (item_id, score, rank)
where p.status = 'live';
comment on view reco.recommendations is 'The live publication, one row a recommendation.';

create function reco.rollback() returns bigint
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
    where status = 'retired' and (current_id is null or publication_id < current_id);
    if previous_id is null then
        raise exception 'no earlier publication is kept, nothing to roll back to';
    end if;
    update reco.publications set status = 'retired' where publication_id = current_id;
    update reco.publications set status = 'live', activated_at = now() where publication_id = previous_id;
    return previous_id;
end
$$;
comment on function reco.rollback is 'Makes the previous publication live, in one transaction; returns its id.';

alter type reco.similar_item owner to reco_writer;
alter view reco.recommendations owner to reco_writer;
alter function reco.recommend(text, integer) owner to reco_writer;
alter function reco.similar_items(text, integer) owner to reco_writer;
alter function reco.search_items(text, integer) owner to reco_writer;
alter function reco.trigrams(text) owner to reco_writer;
alter function reco.rollback() owner to reco_writer;

revoke execute on all functions in schema reco from public;
grant execute on function reco.recommend(text, integer), reco.similar_items(text, integer),
    reco.search_items(text, integer) to reco_reader;
grant select on reco.recommendations to reco_reader;
