-- Projects and sessions may limit the connections of a session; without, only the server's limit
-- in its settings counts.
ALTER TABLE projects ADD COLUMN max_connections BIGINT;
ALTER TABLE sessions ADD COLUMN max_connections BIGINT;
