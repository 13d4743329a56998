-- The ledger of a warmkey gateway. Open it with any SQLite, also while the gateway runs:
--
--     sqlite3 -readonly ledger.db 'SELECT * FROM requests ORDER BY seq DESC LIMIT 20'
--
-- Times are milliseconds since 1970 (UTC), money is billionths of a US dollar, spans are
-- microseconds: integers, so that sums do not depend on their order. The view `requests` shows them as
-- people write them. No prompt, no answer, no token of a key is in here.
--
-- `PRAGMA user_version` is the version of this schema. Changes are made by migrations only.

-- One row a request, written when it is over. Never changed afterwards.
CREATE TABLE receipts (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of writing; never used twice
    id               TEXT    NOT NULL UNIQUE, -- `wk_...`, as the client saw it in x-warmkey-request-id
    at               INTEGER NOT NULL,        -- when its head arrived
    -- Who asked.
    caller           TEXT    NOT NULL,        -- the name of the key or caller
    key              TEXT,                    -- the key's id; NULL: anonymous
    organisation     TEXT    NOT NULL,
    team             TEXT,
    tags             TEXT    NOT NULL,        -- JSON: ["env=ci"]
    session          TEXT,                    -- the conversation, 32 hexadecimal digits
    parent           TEXT,                    -- the conversation that this one is a sub-agent of
    id_source        TEXT    NOT NULL,        -- how the conversation was recognised
    -- For what.
    dialect          TEXT,                    -- anthropic, openai-chat, openai-responses; the same up and down
    operation        TEXT,                    -- the path without query
    streamed         INTEGER NOT NULL,        -- 0 or 1
    model            TEXT,                    -- asked for: the configured name or pattern that matched
    upstream_model   TEXT,                    -- as the provider was asked for it; prices go by it
    served_model     TEXT,                    -- as the provider says it served; NULL: it did not say
    tier             TEXT,                    -- the service tier that the provider says it used
    -- Where.
    endpoint         TEXT,
    provider         TEXT,
    region           TEXT,
    affinity         TEXT,                    -- hit, moved, new
    affinity_reason  TEXT,
    attempts         TEXT    NOT NULL,        -- JSON: [{"endpoint","outcome","status","ambiguous","ms"}]
    ambiguous        INTEGER NOT NULL,        -- attempts that the provider may bill although they failed
    -- How it ended.
    status           INTEGER NOT NULL,        -- the HTTP status that the client saw; 0: none
    outcome          TEXT    NOT NULL,        -- ok, denied, refused, failed, interrupted, cancelled, crashed
    reason           TEXT,
    blame            TEXT,                    -- caller, gateway, upstream
    -- Tokens by kind. No token stands in two columns, but for `reasoning`, a part of `output`.
    input            INTEGER NOT NULL,
    cached_read      INTEGER NOT NULL,
    write_5m         INTEGER NOT NULL,
    write_1h         INTEGER NOT NULL,
    output           INTEGER NOT NULL,
    reasoning        INTEGER NOT NULL,
    expected_read    INTEGER,                 -- tokens that were expected to be read from the cache
    predicted        INTEGER,                 -- 1: they were, 0: they were not, NULL: not known
    cache_break      TEXT,                    -- why the prompt no longer began as the last one
    break_tokens     INTEGER,                 -- what was paid for again because of it
    break_cost       INTEGER,
    care             TEXT,                    -- what was put in for the cache's sake
    -- Money.
    charge           INTEGER,                 -- what it costs us; NULL: no price is known
    billed           INTEGER,                 -- what the caller is billed: with the key's markup
    charged          TEXT    NOT NULL,        -- JSON: what budgets were charged, [["b/...", until, amount]]
    -- What was out of the ordinary; each 0 or 1.
    estimated        INTEGER NOT NULL,        -- tokens are our estimate: the provider never told
    crashed          INTEGER NOT NULL,        -- the gateway died while it ran: everything is an estimate
    keep_alive       INTEGER NOT NULL,        -- no caller's request: it kept a session's prompt warm
    over_soft_budget INTEGER NOT NULL,        -- a soft budget was over
    overshoot        INTEGER NOT NULL,        -- it came to more than was reserved for it
    -- Sizes and times.
    request_bytes    INTEGER NOT NULL,
    response_bytes   INTEGER NOT NULL,
    total_us         INTEGER NOT NULL,        -- from the request's head to the end of the answer
    first_byte_us    INTEGER,
    first_token_us   INTEGER,
    upload_us        INTEGER NOT NULL,
    waited_us        INTEGER NOT NULL,        -- waiting for an account on purpose
    overhead_us      INTEGER NOT NULL         -- our own work before the provider was called
);
CREATE INDEX receipts_at ON receipts (at);

-- Requests under way. What is left here when a gateway starts was lost with the one before it, and
-- is closed as a receipt at its estimate. Short requests never show up here.
CREATE TABLE open_requests (
    id           TEXT PRIMARY KEY NOT NULL,
    at           INTEGER NOT NULL,
    caller       TEXT    NOT NULL,
    key          TEXT,
    organisation TEXT    NOT NULL,
    team         TEXT,
    tags         TEXT    NOT NULL,
    session      TEXT,
    parent       TEXT,
    model        TEXT,
    input        INTEGER NOT NULL,            -- the estimate, by kind
    cached_read  INTEGER NOT NULL,
    write_5m     INTEGER NOT NULL,
    write_1h     INTEGER NOT NULL,
    output       INTEGER NOT NULL,
    charge       INTEGER,
    billed       INTEGER,
    reserved     TEXT    NOT NULL             -- JSON: what budgets hold for it, [["b/...", until, amount]]
) WITHOUT ROWID;

-- What was spent of every budget: the sum of `receipts.charged`, kept in the same transaction. Forgotten a
-- day after the end of its period; a session's, thirty days after its last request.
CREATE TABLE balances (
    counter TEXT    PRIMARY KEY NOT NULL,     -- b/<whose>/<usd|tokens>/<period>/<its first second>
    until   INTEGER NOT NULL,                 -- SECONDS since 1970: its period's end; the largest integer: never
    amount  INTEGER NOT NULL,                 -- billionths of a dollar, or tokens
    changed INTEGER NOT NULL                  -- when it was added to last, milliseconds
) WITHOUT ROWID;

-- What people and programs said of answers. Joined to receipts by `request`.
CREATE TABLE feedback (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT    NOT NULL,                 -- receipts.id
    at      INTEGER NOT NULL,
    caller  TEXT    NOT NULL,                 -- who said it
    score   REAL,
    label   TEXT
);
CREATE INDEX feedback_request ON feedback (request);

-- Keys, teams, organisations: JSON by kind and id. Tokens of keys only as SHA-256.
CREATE TABLE documents (
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;

-- Single figures: `written_by`, `documents_version` (raised by each change of `documents`),
-- `shipped` (receipts up to this seq have been copied to Postgres).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY NOT NULL,
    value NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('documents_version', 0), ('shipped', 0);

-- Receipts as people read them.
CREATE VIEW requests AS
SELECT seq, id,
       strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch') AS at,
       caller, organisation, team, tags, session, model, upstream_model, provider, endpoint, region,
       status, outcome, reason, affinity,
       input, cached_read, write_5m + write_1h AS cache_write, output,
       round(100.0 * cached_read / nullif(input + cached_read + write_5m + write_1h, 0), 1) AS hit_percent,
       charge / 1e9 AS usd, billed / 1e9 AS billed_usd,
       total_us / 1e3 AS total_ms, first_token_us / 1e3 AS first_token_ms, waited_us / 1e3 AS waited_ms,
       estimated, crashed,
       (SELECT avg(score) FROM feedback WHERE request = receipts.id) AS score
FROM receipts;
