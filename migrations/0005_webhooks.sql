-- Whom a project wants to be told of what, and what it has yet to be told.
CREATE TABLE callbacks (
    id          TEXT    PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    event_group TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    url         TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    UNIQUE (project_id, event_group, event, url)
);

-- One row for each event and URL; gone once delivered. `position` orders the events of a session,
-- `callback_id` is NULL for the URL of the settings, `failed_at` is set when it was given up.
-- Times are milliseconds since the Unix epoch.
CREATE TABLE webhooks (
    id          TEXT    PRIMARY KEY,
    position    BIGINT  NOT NULL,
    project_id  INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    callback_id TEXT    REFERENCES callbacks (id) ON DELETE CASCADE,
    session_id  TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    url         TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    attempts    BIGINT  NOT NULL,
    next_at     BIGINT  NOT NULL,
    last_error  TEXT,
    failed_at   BIGINT
);
CREATE INDEX webhooks_of_session ON webhooks (session_id, url, position);
CREATE INDEX webhooks_of_project ON webhooks (project_id, failed_at, position);
CREATE INDEX webhooks_of_callback ON webhooks (callback_id);
