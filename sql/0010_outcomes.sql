-- What comes of experiments: who met one, what they went on to do, and how the arms compare.

alter table reco.experiments add column exposure text not null default 'assigned';
alter table reco.experiments add check (exposure in ('assigned', 'reported'));
alter table reco.experiments add column k integer not null default 20 check (k > 0);
alter table reco.experiments add column stopped_ds date;
comment on column reco.experiments.exposure is
    'Who counts: everybody who has a list (assigned), or whom the application reports by reco.record_exposure (reported).';
comment on column reco.experiments.k is 'A hit is an event on one of so many first items of the list that was served.';
comment on column reco.experiments.stopped_ds is 'The last day that counts; null while it runs.';

-- filled by millions: like the lists, these two refer to no other table
create table reco.exposures (
    experiment_id bigint not null,
    user_id       text not null,
    first_at      timestamptz not null,
    variant       text not null check (variant in ('champion', 'challenger')),
    primary key (experiment_id, user_id)
);
comment on table reco.exposures is 'Since when a user has met an experiment, and in which arm.';

create table reco.outcomes (
    experiment_id bigint not null,
    ds            date not null,
    user_id       text not null,
    variant       text not null check (variant in ('champion', 'challenger')),
    events        bigint not null,
    hits          bigint,                -- null where the lists of that day are gone
    weight        double precision not null,
    primary key (experiment_id, ds, user_id)
);
comment on table reco.outcomes is 'One row a day and exposed user with an event: what they did, and how much of it was on their list.';

create table reco.experiment_results (
    experiment_id    bigint not null references reco.experiments on delete cascade,
    ds               date not null,
    metric           text not null check (metric in ('conversion', 'hits', 'events')),
    champion_users   bigint not null,
    challenger_users bigint not null,
    champion_mean    double precision not null,
    challenger_mean  double precision not null,
    difference       double precision not null,
    low              double precision,
    high             double precision,
    p_value          double precision,
    anytime_low      double precision,
    anytime_high     double precision,
    anytime_p_value  double precision,
    information      double precision not null,
    ratio_p_value    double precision not null,
    mismatch         boolean not null,
    detail           text,
    primary key (experiment_id, ds, metric)
);
comment on table reco.experiment_results is 'Challenger less champion over all days of an experiment up to ds, one row a metric.';
comment on column reco.experiment_results.low is '95 % interval of the difference, for one look on a day that was fixed before.';
comment on column reco.experiment_results.anytime_low is '95 % interval that holds on all days at once, however often one looks.';
comment on column reco.experiment_results.information is 'Variance of the sum over all users of what the difference is a mean of.';
comment on column reco.experiment_results.mismatch is 'The arms'' sizes are not what the share makes them: the figures can''t be trusted.';

create function reco.record_exposure(user_id text, at timestamptz default now()) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- strangers get what is popular in either arm
    insert into reco.exposures (experiment_id, user_id, first_at, variant)
    select e.experiment_id, l.user_id, record_exposure.at,
           case when reco.in_challenger(l.user_id, e.salt, e.share) then 'challenger' else 'champion' end
    from reco.publications p
    join reco.experiments e on e.experiment_id = p.experiment_id
    join reco.recommendation_lists l
        on l.publication_id = p.publication_id and l.user_id = record_exposure.user_id
    where p.status = 'live' and e.status = 'running' and e.exposure = 'reported'
    on conflict do nothing;
end
$$;
comment on function reco.record_exposure is
    'Notes that a user was shown recommendations, once an experiment; does nothing while none runs that asks for it.';

alter table reco.exposures owner to reco_writer;
alter table reco.outcomes owner to reco_writer;
alter table reco.experiment_results owner to reco_writer;
alter function reco.record_exposure(text, timestamptz) owner to reco_writer;

-- readers may not write: grant this one to the role of the application that may
revoke execute on function reco.record_exposure(text, timestamptz) from public;
