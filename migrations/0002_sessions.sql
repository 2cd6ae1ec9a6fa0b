-- What applications created. Sessions never expire, so rows only ever get more.
-- Times are milliseconds since the Unix epoch; modes are the words of the REST API.
CREATE TABLE sessions (
    id                 TEXT    PRIMARY KEY,
    project_id         INTEGER NOT NULL REFERENCES projects (id),
    media_mode         TEXT    NOT NULL,
    archive_mode       TEXT    NOT NULL,
    archive_name       TEXT,
    archive_resolution TEXT,
    location           TEXT,
    e2ee               BOOLEAN NOT NULL,
    created_at         BIGINT  NOT NULL
);
