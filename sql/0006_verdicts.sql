-- The gate's third verdict: what it decided on each model version, by which policy, and who answered where it asked.

alter table reco.gate_results add column otherwise text not null default 'reject';
alter table reco.gate_results add column why text not null default '';
alter table reco.gate_results add check (otherwise in ('reject', 'ask'));
comment on column reco.gate_results.otherwise is 'What the rule asks for where it is not kept.';
comment on column reco.gate_results.why is 'What the rule is there for, in the policy''s words.';

create table reco.verdicts (
    model_version  text primary key references reco.models on delete cascade,
    ds             date not null,
    decision       text not null check (decision in ('promote', 'reject', 'ask')),
    headline       text not null,
    policy         jsonb not null,       -- all of it, as it was applied
    policy_version text not null,
    decided_by     text check (decided_by in ('policy', 'person', 'deadline')),
    answer         text check (answer in ('promote', 'reject')),
    judged_at      timestamptz not null default now(),
    answered_at    timestamptz,
    check ((answer is null) = (decided_by is null) and (answer is null) = (answered_at is null)),
    check (case when decision = 'ask' then decided_by is distinct from 'policy'
                else answer is not null and answer = decision and decided_by = 'policy' end)
);
comment on table reco.verdicts is 'One row a judged model version: what the gate decided, by which policy.';
comment on column reco.verdicts.answer is 'What became of it: the decision itself, or the answer; null while it is asked.';
comment on column reco.verdicts.decided_by is 'The policy, the person who was asked, or the deadline that nobody kept.';

-- models that were judged before verdicts were kept
insert into reco.verdicts
    (model_version, ds, decision, headline, policy, policy_version, decided_by, answer, judged_at, answered_at)
select model_version, ds, outcome, 'judged before verdicts were kept', '{}', 'unknown', 'policy', outcome,
       judged_at, judged_at
from (select *, case when status in ('champion', 'retired') then 'promote' else 'reject' end as outcome
      from reco.models where judged_at is not null) judged;

alter table reco.verdicts owner to reco_writer;
