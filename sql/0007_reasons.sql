-- Reasons of recommendations: every sentence of a publication once, and its number in the lists.

-- a long read would hold this up, and this every read after it
set local lock_timeout = '5s';

-- until now nothing was ever kept in it
alter table reco.recommendation_lists drop column reasons;
alter table reco.recommendation_lists add column reasons integer[];
comment on column reco.recommendation_lists.reasons is
    'Of each item the code in reco.reason_texts; 0 where nothing in particular was found, null where nobody looked.';

-- one partition a publication, as the other large tables
create table reco.reason_texts (
    publication_id bigint not null,
    code           integer not null,
    text           text not null,
    primary key (publication_id, code)
) partition by list (publication_id);
comment on table reco.reason_texts is 'Why something is recommended, in words that name no attribute of anybody.';

create or replace function reco.recommend(user_id text, k integer default 10)
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
        select 'popular' as source, p.item_ids, p.scores, null::integer[] as reasons into list
        from reco.popular_lists p
        where p.publication_id = live;
    end if;
    return query
    select row_number::integer, list.item_ids[row_number], list.scores[row_number], list.source,
           coalesce((select t.text from reco.reason_texts t
                     where t.publication_id = live and t.code = list.reasons[row_number]),
                    case list.source
                        when 'personal' then 'close to what you chose before'
                        when 'segment' then 'popular with people like you'
                        else 'popular now'
                    end)
    from generate_series(1, least(coalesce(k, 10), coalesce(cardinality(list.item_ids), 0))) as row_number
    order by row_number;
end
$$;

alter table reco.reason_texts owner to reco_writer;
