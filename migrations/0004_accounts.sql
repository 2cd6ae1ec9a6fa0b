-- Projects can be suspended and deleted, and get new secrets; whoever holds an account does that
-- over REST. A deleted project's row stays, so that its key is never handed out again. The secret
-- before the last change is good until `old_secret_until`, milliseconds since the Unix epoch.
ALTER TABLE projects ADD COLUMN status TEXT NOT NULL DEFAULT 'ACTIVE';
ALTER TABLE projects ADD COLUMN old_secret TEXT;
ALTER TABLE projects ADD COLUMN old_secret_until BIGINT;

CREATE TABLE accounts (
    id         INTEGER PRIMARY KEY,
    secret     TEXT    NOT NULL,
    created_at BIGINT  NOT NULL
);

CREATE INDEX sessions_of_project ON sessions (project_id, created_at);
