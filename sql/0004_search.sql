-- Search that forgives typos, on any PostgreSQL: postings of trigrams find a shortlist, edit distance ranks it.

do $$
declare
    -- letter case must not depend on the database's locale: the first of these that the server has
    chosen text := (
        select quote_ident(collname)
        from pg_collation
        join unnest(array['pg_c_utf8', 'und-x-icu', 'C.utf8', 'default']) with ordinality as best (name, place)
            on name = collname
        where collnamespace = 'pg_catalog'::regnamespace
          and collencoding in (-1, (select encoding from pg_database where datname = current_database()))
        order by place
        limit 1
    );
begin
    execute format(
        $function$
        create function reco.fold(phrase text) returns text
        language sql immutable strict parallel safe
        set search_path = pg_catalog, pg_temp
        return case
            when octet_length(phrase) = length(phrase)
            then btrim(regexp_replace(lower(phrase collate "C"), '[^0-9a-z]+', ' ', 'g'))
            else normalize(btrim(regexp_replace(
                replace(replace(replace(replace(translate(
                    lower(regexp_replace(normalize(phrase, nfkd), %L, '', 'g') collate %s) collate "C",
                    'øđðłıς', 'oddliσ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
                %L, ' ', 'g')), nfc)
        end
        $function$,
        -- accents, vowel points, invisible characters
        '[\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]',
        chosen,
        -- punctuation, symbols, spaces
        '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u00d7\u00f7\u02b9-\u02df\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05f3\u05f4'
        '\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u1680\u2000-\u200a\u2010-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d'
        '\u30a0\u30fb\ufe10-\ufe1f\ufe30-\ufe6f\ufffc-\uffff\U0001f000-\U0001faff]+'
    );
end
$$;
comment on function reco.fold is 'A name without case, accents and punctuation, one space between words.';

create function reco.search_form(title text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    folded constant text := reco.fold(title);
    form text := regexp_replace(regexp_replace(folded, ' (feat|ft|featuring) .*', ''), '^the | the$', '', 'g');
begin
    form := btrim(replace(' ' || form || ' ', ' and ', ' '));
    return case when form = '' then folded else form end;
end
$$;
comment on function reco.search_form is 'A folded title without what people leave out: "the", "and", who is featured.';

drop function reco.trigrams(text);
create function reco.trigrams(folded text) returns text[]
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- each word padded as pg_trgm does, so that beginnings weigh more
    select coalesce(array_agg(distinct substr(padded, start, 3)), '{}')
    from string_to_table(folded, ' ') as word,
         lateral (select '  ' || word || ' ') as p(padded),
         lateral generate_series(1, length(padded) - 2) as start
    where word <> ''
$$;
comment on function reco.trigrams is 'Distinct trigrams of a folded phrase, for search without extensions.';

create function reco.search_entry(label bigint, title_trigrams integer, all_trigrams integer) returns bigint
language sql immutable parallel safe
return (label << 16) | (least(title_trigrams, 255) << 8) | least(all_trigrams, 255);
comment on function reco.search_entry is 'What a posting holds of an item: its label, and how many trigrams it has.';

drop table reco.search_postings;  -- with its partitions; those of kept publications are made anew below
create table reco.search_postings (
    publication_id bigint not null,
    trigram        text not null,
    items          integer not null,
    entries        bigint[] not null,    -- reco.search_entry of each item that has the trigram, ascending
    primary key (publication_id, trigram)
) partition by list (publication_id);
alter table reco.search_postings alter column entries set storage external;

do $$
declare
    kept bigint;
begin
    for kept in
        select publication_id from reco.publications
        where to_regclass('reco.catalogue_' || publication_id) is not null
    loop
        execute format('create table reco.search_postings_%1$s partition of reco.search_postings for values in (%1$s)', kept);
        execute format('alter table reco.search_postings_%s owner to reco_writer', kept);
        execute format('create index on reco.catalogue_%s (label)', kept);
        insert into reco.search_postings (publication_id, trigram, items, entries)
        select kept, trigram, count(*), array_agg(entry order by entry)
        from (
            select unnest(every) as trigram, reco.search_entry(label, own, cardinality(every)) as entry
            from (
                select label, cardinality(reco.trigrams(reco.search_form(coalesce(title, '')))) as own,
                       reco.trigrams(concat_ws(' ', reco.fold(title), reco.fold(creator))) as every
                from reco.catalogue
                where publication_id = kept
                offset 0  -- once an item, not once a trigram
            ) as item
        ) as occurrence
        group by trigram;
    end loop;
end
$$;

create function reco.letter_places(wanted text) returns bigint[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- for each place of `wanted` the bits of all the places with the same letter
    select array(
        select (select bit_or(1::bigint << (other.place - 1)::integer)
                from unnest(string_to_array(wanted, null)) with ordinality as other (letter, place)
                where other.letter = one.letter)
        from unnest(string_to_array(wanted, null)) with ordinality as one (letter, place)
        order by place
    )
$$;
comment on function reco.letter_places is 'What reco.likeness needs to know of the wanted phrase, of 60 letters at most.';

create function reco.likeness(wanted text, places bigint[], phrase text, at_least real) returns real
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- 1 - distance / length of the longer, where insertions, deletions, substitutions and swaps of neighbours count one;
-- 0 where it isn't more than `at_least`. A whole column of the distance matrix at once, in the bits of an integer:
-- H. Hyyrö, A bit-vector algorithm for computing Levenshtein and Damerau edit distances (2003).
declare
    size constant integer := length(wanted);
    longer constant real := greatest(size, length(phrase));
    most constant real := (1 - at_least) * longer;
    every constant bigint := (1::bigint << size) - 1;
    last constant bigint := 1::bigint << (size - 1);
    up bigint := every;
    down bigint := 0;
    diagonal bigint := 0;
    before bigint := 0;
    here bigint;
    right_up bigint;
    right_down bigint;
    distance integer := size;
    rest integer := length(phrase);
    letter text;
begin
    if rest is null or abs(size - rest) >= most then
        return 0;
    end if;
    foreach letter in array string_to_array(phrase, null) loop
        here := coalesce(places[strpos(wanted, letter)], 0);
        diagonal := (((((here & up) + up) # up) | here | down) | ((~diagonal & here) << 1 & before)) & every;
        right_up := down | (~(diagonal | up) & every);
        right_down := diagonal & up;
        rest := rest - 1;
        if right_up & last <> 0 then
            distance := distance + 1;
            if distance - rest >= most then
                return 0;
            end if;
        elsif right_down & last <> 0 then
            distance := distance - 1;
        end if;
        right_up := right_up << 1 | 1;
        up := (right_down << 1 | ~(diagonal | right_up)) & every;
        down := right_up & diagonal;
        before := here;
    end loop;
    return case when distance < most then 1 - distance / longer else 0 end;
end
$$;
comment on function reco.likeness is 'How like a phrase is to the wanted one, 0 to 1, counting typos.';

create or replace function reco.search_items(query text, k integer default 10)
returns table (item_id text, title text, creator text, similarity real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    longest_query constant integer := 200;   -- letters
    longest_pattern constant integer := 60;  -- letters whose places fit into a bigint
    most_entries constant integer := 16000;  -- of postings to read, those of the rarest trigrams
    least_share constant real := 0.12;       -- of the query's weight that a candidate has
    shortlisted constant integer := 80;
    most_rows constant integer := 1000;
    only_words constant real := 0.8;         -- sharing all trigrams is less than being the same
    only_form constant real := 0.97;         -- so is being the same but for "the", "and" and who is featured
    only_creator constant real := 0.95;
    telling constant real := 0.49;           -- two typos in four letters; less is not followed up
    least_similarity constant real := 0.2;   -- less is an accident: a shared first letter
    live bigint;
    catalogue_size real;
    rows_wanted constant integer := least(greatest(coalesce(k, 10), 0), most_rows);
    folded text := reco.fold(left(query, longest_query));
    form text := reco.search_form(folded);
    grams constant text[] := reco.trigrams(form);
    folded_places bigint[];
    form_places bigint[];
begin
    select p.publication_id, greatest(p.items, 1) into live, catalogue_size from reco.publications p where p.status = 'live';
    folded := left(folded, longest_pattern);
    form := left(form, longest_pattern);
    folded_places := reco.letter_places(folded);
    form_places := reco.letter_places(form);
    return query
    with posting as (
        -- how rare a trigram is says how much it tells
        select s.entries, 1 + ln(catalogue_size / s.items) as weight, sum(s.items) over (order by s.items, s.trigram) as read
        from reco.search_postings s
        where s.publication_id = live and s.trigram = any (grams)
    ), whole as materialized (
        select cardinality(grams) * avg(weight) as weight, avg(weight) as mean, min(read) as rarest from posting
    ), met as (
        select entry, sum(p.weight) as shared
        from whole, posting p, unnest(p.entries) as entry
        where p.read <= greatest(most_entries, rarest)
        group by entry
        having sum(p.weight) >= (select least_share * weight from whole)
    ), shortlist as (
        -- shared weight / weight of both, taking the trigrams of an item to be as rare as those of the query
        select (entry >> 16)::integer as label,
               greatest(shared / (whole.weight + greatest(mean * ((entry >> 8) & 255) - shared, 0)),
                        shared / (whole.weight + greatest(mean * (entry & 255) - shared, 0)))::real as overlap
        from met, whole
        order by overlap desc, label
        limit greatest(shortlisted, rows_wanted)
    ), phrases as (
        select c.item_id, c.title, c.creator, c.label, overlap, (least(overlap, 1) * only_words)::real as by_words,
               reco.fold(c.title) as folded_title, reco.search_form(c.title) as title_form, reco.fold(c.creator) as folded_creator
        from shortlist
        join reco.catalogue c on c.publication_id = live and c.label = shortlist.label
        offset 0
    ), by_title as (
        select *, greatest(
            by_words,
            reco.likeness(folded, folded_places, folded_title, greatest(by_words, telling)),
            case when form <> folded or title_form <> folded_title
                 then reco.likeness(form, form_places, title_form, greatest(by_words, telling)) * only_form end
        )::real as of_title
        from phrases
        offset 0
    ), scored as (
        select *, greatest(
            of_title,
            reco.likeness(form, form_places, folded_creator, greatest(of_title, telling)) * only_creator,
            reco.likeness(form, form_places, title_form || ' ' || folded_creator, greatest(of_title, telling)),
            reco.likeness(form, form_places, folded_creator || ' ' || title_form, greatest(of_title, telling))
        )::real as likeness
        from by_title
    )
    select item_id, title, creator, likeness
    from scored
    where likeness >= least_similarity
    order by likeness desc, overlap desc, label
    limit rows_wanted;
end
$$;
comment on function reco.search_items is 'Items by title and creator as people type them: case, accents and typos forgiven.';

alter table reco.search_postings owner to reco_writer;
alter function reco.fold(text) owner to reco_writer;
alter function reco.search_form(text) owner to reco_writer;
alter function reco.trigrams(text) owner to reco_writer;
alter function reco.search_entry(bigint, integer, integer) owner to reco_writer;
alter function reco.letter_places(text) owner to reco_writer;
alter function reco.likeness(text, bigint[], text, real) owner to reco_writer;
revoke execute on all functions in schema reco from public;
