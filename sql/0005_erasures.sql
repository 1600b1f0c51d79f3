-- Erasure [7]: the queue of who asked to be forgotten, and the audit of what was done, which names nobody.

create table reco.erasure_requests (
    user_id      text primary key,
    requested_at timestamptz not null default now()
);
comment on table reco.erasure_requests is
    'Users to erase, in clear only until it is done: `recommender erase` and the Dag `erase` work it off.';

create table reco.erasures (
    erasure_id   bigint generated always as identity primary key,
    requested_at timestamptz not null,
    done_at      timestamptz not null default now(),
    places       jsonb not null
);
comment on table reco.erasures is 'One row an erased user, without the id: rows removed, by place.';

create function reco.request_erasure(user_id text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(trim(request_erasure.user_id), '') = '' then
        raise exception 'an erasure needs a user id';
    end if;
    insert into reco.erasure_requests (user_id) values (trim(request_erasure.user_id)) on conflict do nothing;
end
$$;
comment on function reco.request_erasure is 'Asks for a user to be erased from everything; the next erasure run does it.';

alter table reco.erasure_requests owner to reco_writer;
alter table reco.erasures owner to reco_writer;
alter function reco.request_erasure(text) owner to reco_writer;

-- readers may not erase people: grant this one to the role of the application that may
revoke execute on function reco.request_erasure(text) from public;
