-- The ledger and the keys of a fleet of warmkey gateways, in a schema of their own:
--
--     psql -c 'SELECT * FROM warmkey.requests ORDER BY at DESC LIMIT 20'
--
-- Each gateway writes a SQLite ledger first and copies its receipts here; columns are the same, and
-- `store/sqlite/schema.sql` says what each of them means. Times are milliseconds since 1970 (UTC),
-- money is billionths of a US dollar, spans are microseconds.
--
-- `meta.schema` is the version. Changes are made by migrations only.

-- Single figures: `schema`, `written_by`, `documents_version` (raised by each change of `documents`).
CREATE TABLE meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO meta (name, value) VALUES ('documents_version', '0');

-- One row a request. Never changed afterwards; whatever is copied twice is here once.
CREATE TABLE receipts (
    id               text PRIMARY KEY,
    at               bigint NOT NULL,
    caller           text NOT NULL,
    key              text,
    organisation     text NOT NULL,
    team             text,
    tags             jsonb NOT NULL,
    session          text,
    parent           text,
    id_source        text NOT NULL,
    dialect          text,
    operation        text,
    streamed         boolean NOT NULL,
    model            text,
    upstream_model   text,
    served_model     text,
    tier             text,
    endpoint         text,
    provider         text,
    region           text,
    affinity         text,
    affinity_reason  text,
    attempts         jsonb NOT NULL,
    ambiguous        bigint NOT NULL,
    status           integer NOT NULL,
    outcome          text NOT NULL,
    reason           text,
    blame            text,
    input            bigint NOT NULL,
    cached_read      bigint NOT NULL,
    write_5m         bigint NOT NULL,
    write_1h         bigint NOT NULL,
    output           bigint NOT NULL,
    reasoning        bigint NOT NULL,
    expected_read    bigint,
    predicted        boolean,
    cache_break      text,
    break_tokens     bigint,
    break_cost       bigint,
    care             text,
    charge           bigint,
    billed           bigint,
    charged          jsonb NOT NULL,
    estimated        boolean NOT NULL,
    crashed          boolean NOT NULL,
    keep_alive       boolean NOT NULL,
    over_soft_budget boolean NOT NULL,
    overshoot        boolean NOT NULL,
    request_bytes    bigint NOT NULL,
    response_bytes   bigint NOT NULL,
    total_us         bigint NOT NULL,
    first_byte_us    bigint,
    first_token_us   bigint,
    upload_us        bigint NOT NULL,
    waited_us        bigint NOT NULL,
    overhead_us      bigint NOT NULL
);
CREATE INDEX receipts_at ON receipts (at);

-- What was spent of every budget by all gateways: the sum of `receipts.charged`, kept in the same step.
CREATE TABLE balances (
    counter text PRIMARY KEY,
    until   bigint NOT NULL,                  -- SECONDS since 1970: its period's end; the largest integer: never
    amount  bigint NOT NULL,                  -- billionths of a dollar, or tokens
    changed timestamptz NOT NULL              -- so that gateways need not read all of them again
);
CREATE INDEX balances_changed ON balances (changed);

-- Keys, teams, organisations: JSON by kind and id. Tokens of keys only as SHA-256.
CREATE TABLE documents (
    kind    text NOT NULL,
    id      text NOT NULL,
    body    text NOT NULL,
    changed bigint NOT NULL,
    PRIMARY KEY (kind, id)
);

-- Receipts as people read them.
CREATE VIEW requests AS
SELECT id, to_timestamp(at / 1000.0) AS at,
       caller, organisation, team, tags, session, model, upstream_model, provider, endpoint, region,
       status, outcome, reason, affinity,
       input, cached_read, write_5m + write_1h AS cache_write, output,
       round(100.0 * cached_read / nullif(input + cached_read + write_5m + write_1h, 0), 1) AS hit_percent,
       charge / 1e9 AS usd, billed / 1e9 AS billed_usd,
       total_us / 1e3 AS total_ms, first_token_us / 1e3 AS first_token_ms, waited_us / 1e3 AS waited_ms,
       estimated, crashed
FROM receipts;
