-- The first schema. Words ($id, $time, $json, $bytes, $seq, $big, and $keyed for a
-- table that is stored in its key's index, $words) are put in by schema.py for each database.
-- Times are whole microseconds since 1970, UTC. `seq` is given in the order of commits.

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value $big NOT NULL
);

INSERT INTO counter (name, value) VALUES ('seq', 0);
-- Up to which line of the logs the index of words is filled.
INSERT INTO counter (name, value) VALUES ('log_words', 0);
-- Up to which state of a flow run hooks and automations have been told.
INSERT INTO counter (name, value) VALUES ('hooks', 0);
INSERT INTO counter (name, value) VALUES ('automations', 0);
-- How often limits were changed: who decides by them knows from it whether it knows them.
INSERT INTO counter (name, value) VALUES ('limits', 0);

-- There is one of them; clients of Prefect's server name it in what they ask.
CREATE TABLE tenant (
    id $id PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    info $json NOT NULL,
    settings $json NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

INSERT INTO tenant (id, name, slug, info, settings, created, updated)
VALUES ('00000000-0000-4000-8000-000000000001', 'default', 'default', '{}', '{}', 0, 0);

CREATE TABLE project (
    id $id PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    retention_days INTEGER, -- 0: its runs are kept for ever, NULL: what the settings say; the same of logs
    log_retention_days INTEGER,
    created $time NOT NULL,
    updated $time NOT NULL
);

-- What all versions of a flow have in common. `name` is what clients call the group: its id, unless they gave it another.
CREATE TABLE flow_group (
    id $id PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    labels $json,
    schedule $json,
    run_config $json,
    settings $json NOT NULL,
    default_parameters $json NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

-- One version of one flow. `digest` is the hash of its structure and of the code it was loaded from: registering the same
-- digest again finds this row. A flow that was only run from a script has no project and no storage; `source` is where
-- that script was, for who wants to go on with a run of it. `runtime` is what can execute it: 'prefectlite' or 'prefect'.
CREATE TABLE flow (
    id $id PRIMARY KEY,
    project_id $id REFERENCES project (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    flow_group_id $id NOT NULL REFERENCES flow_group (id) ON DELETE CASCADE,
    version_group_id TEXT NOT NULL, -- the group's name
    description TEXT,
    archived INTEGER NOT NULL DEFAULT 0,
    parameters $json NOT NULL,
    environment $json,
    run_config $json,
    schedule $json,
    is_schedule_active INTEGER NOT NULL DEFAULT 0,
    storage $json,
    source $json,
    serialized_flow $json NOT NULL,
    core_version TEXT NOT NULL,
    runtime TEXT NOT NULL,
    digest TEXT NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL,
    UNIQUE (flow_group_id, version)
);

CREATE INDEX flow_by_name ON flow (name, project_id, version);
CREATE INDEX flow_by_version_group ON flow (version_group_id, version);
CREATE INDEX flow_by_digest ON flow (digest);
CREATE INDEX flow_by_project ON flow (project_id);
CREATE INDEX flow_by_created ON flow (created);

CREATE TABLE task (
    id $id PRIMARY KEY,
    flow_id $id NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    type TEXT NOT NULL,
    mapped INTEGER NOT NULL,
    auto_generated INTEGER NOT NULL,
    max_retries INTEGER NOT NULL,
    retry_delay $big,
    timeout $big,
    trigger_name TEXT NOT NULL,
    cache_key TEXT,
    is_root_task INTEGER NOT NULL,
    is_terminal_task INTEGER NOT NULL,
    is_reference_task INTEGER NOT NULL,
    tags $json NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL,
    UNIQUE (flow_id, slug)
);

CREATE TABLE edge (
    id $id PRIMARY KEY,
    flow_id $id NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
    upstream_task_id $id NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    downstream_task_id $id NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    key TEXT,
    mapped INTEGER NOT NULL
);

CREATE INDEX edge_by_flow ON edge (flow_id);
CREATE INDEX edge_by_upstream ON edge (upstream_task_id);
CREATE INDEX edge_by_downstream ON edge (downstream_task_id);

CREATE TABLE agent_config (
    id $id PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    settings $json NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

-- A process that executes runs, with the labels that it takes and the last time it asked for some.
CREATE TABLE agent (
    id $id PRIMARY KEY,
    agent_config_id $id REFERENCES agent_config (id) ON DELETE SET NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    core_version TEXT NOT NULL,
    labels $json NOT NULL,
    last_queried $time NOT NULL,
    token_id $id, -- with which it was registered
    created $time NOT NULL,
    updated $time NOT NULL
);

CREATE INDEX agent_by_config ON agent (agent_config_id);

-- Processes that execute runs and reach the record through a server; `id` is what their runs have as `owner`.
CREATE TABLE executor (
    id TEXT PRIMARY KEY,
    agent_id $id REFERENCES agent (id) ON DELETE CASCADE,
    last_heard $time NOT NULL
);

CREATE INDEX executor_by_agent ON executor (agent_id);

-- `owner` is the process that executes the run and `lease_epoch` its fencing token: each claim raises it.
CREATE TABLE flow_run (
    id $id PRIMARY KEY,
    flow_id $id NOT NULL REFERENCES flow (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    parameters $json NOT NULL,
    context $json NOT NULL,
    labels $json NOT NULL,
    run_config $json,
    scheduled_start_time $time NOT NULL,
    auto_scheduled INTEGER NOT NULL DEFAULT 0,
    idempotency_key TEXT,
    start_time $time,
    end_time $time,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_id $id NOT NULL,
    state_timestamp $time NOT NULL,
    state_message TEXT,
    state_start_time $time,
    state_details $json,
    agent_id $id REFERENCES agent (id) ON DELETE SET NULL,
    owner TEXT,
    lease_epoch INTEGER NOT NULL DEFAULT 0,
    heartbeat $time, -- of a run that another runtime executes
    times_resurrected INTEGER NOT NULL DEFAULT 0,
    late_version INTEGER, -- at which it was found late: it is for as long as it has that version
    created $time NOT NULL,
    updated $time NOT NULL,
    UNIQUE (idempotency_key, flow_id)
);

CREATE INDEX flow_run_by_flow ON flow_run (flow_id, scheduled_start_time);
CREATE INDEX flow_run_by_name ON flow_run (name);
CREATE INDEX flow_run_by_state ON flow_run (state, state_start_time);
CREATE INDEX flow_run_by_scheduled ON flow_run (scheduled_start_time);
CREATE INDEX flow_run_by_created ON flow_run (created);
CREATE INDEX flow_run_by_start ON flow_run (start_time);
CREATE INDEX flow_run_by_agent ON flow_run (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX flow_run_by_end ON flow_run (end_time, id) WHERE end_time IS NOT NULL;

CREATE TABLE task_run (
    id $id PRIMARY KEY,
    flow_run_id $id NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
    task_id $id NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    map_index INTEGER NOT NULL DEFAULT -1,
    name TEXT,
    start_time $time,
    end_time $time,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_id $id NOT NULL,
    state_timestamp $time NOT NULL,
    state_message TEXT,
    state_start_time $time,
    state_details $json,
    cache_key TEXT,
    created $time NOT NULL,
    updated $time NOT NULL,
    UNIQUE (flow_run_id, task_id, map_index)
);

CREATE INDEX task_run_by_task ON task_run (task_id, created);
CREATE INDEX task_run_by_cache_key ON task_run (cache_key, end_time) WHERE cache_key IS NOT NULL;
-- The few that wait for their time: agents ask for them.
CREATE INDEX task_run_by_state_start ON task_run (state_start_time) WHERE state_start_time IS NOT NULL;

CREATE TABLE flow_run_state (
    seq $seq PRIMARY KEY,
    id $id NOT NULL,
    flow_run_id $id NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    timestamp $time NOT NULL,
    state TEXT NOT NULL,
    message TEXT,
    start_time $time,
    details $json,
    UNIQUE (flow_run_id, version)
);

CREATE TABLE task_run_state (
    seq $seq PRIMARY KEY,
    id $id NOT NULL,
    task_run_id $id NOT NULL REFERENCES task_run (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    timestamp $time NOT NULL,
    state TEXT NOT NULL,
    message TEXT,
    start_time $time,
    details $json,
    UNIQUE (task_run_id, version)
);

CREATE TABLE log (
    seq $seq PRIMARY KEY,
    id $id NOT NULL,
    flow_run_id $id NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
    task_run_id $id,
    timestamp $time NOT NULL,
    level TEXT NOT NULL,
    name TEXT NOT NULL,
    message TEXT NOT NULL,
    indexed TEXT -- what is in the index of words instead of the message, where that is not plain ASCII
);

CREATE INDEX log_by_flow_run ON log (flow_run_id, seq);
CREATE INDEX log_by_task_run ON log (task_run_id, seq);
$words;

-- What a finished task returned, written in the same transaction as its state. `encoding` says how to read `data`.
CREATE TABLE result (
    task_run_id $id PRIMARY KEY REFERENCES task_run (id) ON DELETE CASCADE,
    encoding TEXT NOT NULL,
    data $bytes
)$keyed;
-- A result in a file of its own has the file's name as `data`: a file that none names is removed.
CREATE INDEX result_in_file ON result (data) WHERE encoding IN ('cloudpickle@file', 'msgpack@file');

-- What a task shows of what it did: a link, a table, a text.
CREATE TABLE task_run_artifact (
    id $id PRIMARY KEY,
    task_run_id $id NOT NULL REFERENCES task_run (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    data $json NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

CREATE INDEX artifact_by_task_run ON task_run_artifact (task_run_id);

CREATE TABLE key_value (
    id $id PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    value $json NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

-- `sealed` is the value, encrypted together with the name by a key that is not in the database.
CREATE TABLE secret (
    id $id PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sealed TEXT NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

-- How many task runs with a tag execute at once, or, where `seconds` is not 0, begin within so many seconds.
CREATE TABLE task_tag_limit (
    id $id PRIMARY KEY,
    tag TEXT NOT NULL,
    slots INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL,
    UNIQUE (tag, seconds)
);

-- The same of flow runs with a label, which is the `name` of the limit.
CREATE TABLE flow_concurrency_limit (
    id $id PRIMARY KEY,
    name TEXT NOT NULL,
    slots INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL,
    UNIQUE (name, seconds)
);

-- When something began that a limit with `seconds` counts; older ones than that are removed.
CREATE TABLE limited_start (
    limit_id $id NOT NULL,
    started $time NOT NULL
);

CREATE INDEX limited_start_by_limit ON limited_start (limit_id, started);

-- Who is told when a run of the group, or any, enters one of these states. `config` is what may be shown of it; all of it is
-- in `sealed`, encrypted as secrets are. States with a `seq` up to `since` were there before the hook was.
CREATE TABLE cloud_hook (
    id $id PRIMARY KEY,
    flow_group_id $id REFERENCES flow_group (id) ON DELETE CASCADE,
    name TEXT,
    type TEXT NOT NULL,
    states $json NOT NULL,
    config $json NOT NULL,
    sealed TEXT NOT NULL,
    active INTEGER NOT NULL,
    since $big NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

CREATE INDEX cloud_hook_by_group ON cloud_hook (flow_group_id);

-- What happens to runs of the group, or any, because of what happens to them: `event` is 'STATE' (one of `states` is
-- entered), 'LATE' (not begun so many `seconds` after it was due) or 'RUNNING' (not ended so many seconds after it began);
-- `action` is 'NOTIFY' (the hook), 'RUN_FLOW' (of the target group, with `parameters`), 'CANCEL' or 'PAUSE_SCHEDULE'.
CREATE TABLE automation (
    id $id PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    flow_group_id $id REFERENCES flow_group (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    states $json NOT NULL,
    seconds INTEGER,
    action TEXT NOT NULL,
    cloud_hook_id $id REFERENCES cloud_hook (id) ON DELETE SET NULL,
    target_flow_group_id $id REFERENCES flow_group (id) ON DELETE SET NULL,
    parameters $json NOT NULL,
    is_active INTEGER NOT NULL,
    since $big NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

CREATE INDEX automation_by_group ON automation (flow_group_id);
CREATE INDEX automation_by_hook ON automation (cloud_hook_id);
CREATE INDEX automation_by_target ON automation (target_flow_group_id);

-- That an automation did something because of a run, which it does once. `status` is 'Pending', 'Done' or 'Failed'.
CREATE TABLE automation_firing (
    id $id PRIMARY KEY,
    automation_id $id NOT NULL REFERENCES automation (id) ON DELETE CASCADE,
    flow_run_id $id REFERENCES flow_run (id) ON DELETE SET NULL, -- pausing a schedule may forget the very run
    seq $big, -- of the state that it was because of
    status TEXT NOT NULL,
    message TEXT, -- what came of it
    created $time NOT NULL,
    updated $time NOT NULL,
    UNIQUE (automation_id, flow_run_id)
);

CREATE INDEX automation_firing_by_run ON automation_firing (flow_run_id);
CREATE INDEX automation_firing_pending ON automation_firing (created) WHERE status = 'Pending';

-- A message to a hook: of a state (`seq`), of a run that an automation speaks of, or, with neither, a test. `status` is
-- 'Pending' (until it is delivered, or there were too many attempts), 'Delivered' or 'Failed'.
CREATE TABLE hook_delivery (
    id $id PRIMARY KEY,
    cloud_hook_id $id NOT NULL REFERENCES cloud_hook (id) ON DELETE CASCADE,
    flow_run_id $id REFERENCES flow_run (id) ON DELETE CASCADE,
    seq $big,
    automation_id $id REFERENCES automation (id) ON DELETE SET NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT,
    next_attempt $time,
    created $time NOT NULL,
    updated $time NOT NULL
);

CREATE INDEX hook_delivery_by_hook ON hook_delivery (cloud_hook_id, created);
CREATE INDEX hook_delivery_by_run ON hook_delivery (flow_run_id);
CREATE INDEX hook_delivery_by_automation ON hook_delivery (automation_id);
CREATE INDEX hook_delivery_pending ON hook_delivery (next_attempt) WHERE status = 'Pending';

-- What there is to be read on the pages of the server. A hook writes it under the id of its delivery.
CREATE TABLE message (
    id $id PRIMARY KEY,
    read INTEGER NOT NULL,
    type TEXT NOT NULL,
    text TEXT NOT NULL,
    content $json NOT NULL,
    created $time NOT NULL,
    updated $time NOT NULL
);

CREATE INDEX message_by_created ON message (created);

-- Who may use the API, where it asks for tokens. Of a token there is the SHA-256 only: nobody can read it here.
CREATE TABLE api_token (
    id $id PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    labels $json, -- if it says: of these its agents have some, and no others
    projects $json, -- if it says: the ids of those whose runs its agents may take
    secrets $json, -- if it says: those its agents, and the code of their runs, may read; word* is how a name begins
    token_hash TEXT NOT NULL UNIQUE,
    expires_at $time,
    last_used $time,
    revoked_at $time,
    created $time NOT NULL,
    updated $time NOT NULL
);

CREATE UNIQUE INDEX api_token_in_use ON api_token (name) WHERE revoked_at IS NULL;

-- A browser that has shown a token. `id_hash` is the SHA-256 of what its cookie holds.
CREATE TABLE login (
    id_hash TEXT PRIMARY KEY,
    token_id $id NOT NULL REFERENCES api_token (id) ON DELETE CASCADE,
    expires_at $time NOT NULL,
    created $time NOT NULL
);

CREATE INDEX login_by_token ON login (token_id);

-- What the code of one run may show while its executor has this lease. `token_id` is what the executor shows itself.
CREATE TABLE run_token (
    token_hash TEXT PRIMARY KEY,
    flow_run_id $id NOT NULL REFERENCES flow_run (id) ON DELETE CASCADE,
    owner TEXT NOT NULL,
    lease_epoch INTEGER NOT NULL,
    token_id $id REFERENCES api_token (id) ON DELETE CASCADE,
    expires_at $time NOT NULL
);

CREATE INDEX run_token_by_run ON run_token (flow_run_id);
CREATE INDEX run_token_by_token ON run_token (token_id);

-- Who changed what: a row for each mutation, but for those by which runs tell what they do. Rows are never changed.
CREATE TABLE audit_log (
    seq $seq PRIMARY KEY,
    at $time NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    targets $json NOT NULL,
    details $json NOT NULL,
    outcome TEXT NOT NULL
);

CREATE INDEX audit_log_by_action ON audit_log (action, seq);
