-- Projects and sessions may name the video codecs that are used, the preferred one first, with
-- commas between them; without, the server's settings count.
ALTER TABLE projects ADD COLUMN video_codecs TEXT;
ALTER TABLE sessions ADD COLUMN video_codecs TEXT;
