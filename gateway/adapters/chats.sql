-- name: insert_chat
INSERT INTO accounts.chat (chat_id, organisation_id, user_id, title, folder_id, assistant_id, model, visibility)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING *, true AS is_own

-- name: get_chat
SELECT *, user_id = $2 AS is_own
FROM accounts.chat
WHERE organisation_id = $1 AND chat_id = $3 AND (user_id = $2 OR visibility = 'organisation')

-- name: list_own_chats
SELECT *, true AS is_own
FROM accounts.chat
WHERE organisation_id = $1 AND user_id = $2
  AND ($3 = '' OR folder_id = $3)
  AND ($4 = '' OR position(lower($4) IN lower(title)) > 0)
  AND ($5::timestamptz IS NULL OR (update_time, chat_id) < ($5, $6))
ORDER BY update_time DESC, chat_id DESC
LIMIT $7

-- name: list_shared_chats
SELECT *, false AS is_own
FROM accounts.chat
WHERE organisation_id = $1 AND user_id <> $2 AND visibility = 'organisation'
  AND ($3 = '' OR folder_id = $3)
  AND ($4 = '' OR position(lower($4) IN lower(title)) > 0)
  AND ($5::timestamptz IS NULL OR (update_time, chat_id) < ($5, $6))
ORDER BY update_time DESC, chat_id DESC
LIMIT $7

-- name: update_chat
UPDATE accounts.chat
SET title = coalesce($4, title),
    folder_id = CASE WHEN $5::text IS NULL THEN folder_id ELSE nullif($5, '') END,
    assistant_id = coalesce($6, assistant_id),
    model = coalesce($7, model),
    visibility = coalesce($8, visibility),
    update_time = now()
WHERE organisation_id = $1 AND user_id = $2 AND chat_id = $3
RETURNING *, true AS is_own

-- name: name_chat
UPDATE accounts.chat SET title = $4
WHERE organisation_id = $1 AND user_id = $2 AND chat_id = $3 AND title = ''
RETURNING true

-- name: delete_chat
DELETE FROM accounts.chat WHERE organisation_id = $1 AND user_id = $2 AND chat_id = $3
RETURNING true

-- A chat that somebody is writing to is locked, and so no longer old.
-- name: delete_old_chats
WITH deleted AS (
    DELETE FROM accounts.chat
    WHERE chat_id IN (
        SELECT c.chat_id
        FROM accounts.chat c
        JOIN accounts.organisation o USING (organisation_id)
        LEFT JOIN accounts.user_settings s USING (organisation_id, user_id)
        WHERE c.update_time < now() - make_interval(days => least(nullif(o.chat_retention_days, 0), nullif(s.retention_days, 0)))
        LIMIT $1
        FOR UPDATE OF c SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) FROM deleted

-- name: insert_folder
INSERT INTO accounts.folder (folder_id, organisation_id, user_id, name)
VALUES ($1, $2, $3, $4)
RETURNING folder_id, name, create_time, update_time

-- name: get_folder
SELECT folder_id, name, create_time, update_time
FROM accounts.folder
WHERE organisation_id = $1 AND user_id = $2 AND folder_id = $3

-- name: list_folders
SELECT folder_id, name, create_time, update_time
FROM accounts.folder
WHERE organisation_id = $1 AND user_id = $2 AND ($3::text IS NULL OR (name, folder_id) > ($3, $4))
ORDER BY name, folder_id
LIMIT $5

-- name: rename_folder
UPDATE accounts.folder SET name = $4, update_time = now()
WHERE organisation_id = $1 AND user_id = $2 AND folder_id = $3
RETURNING folder_id, name, create_time, update_time

-- name: delete_folder
DELETE FROM accounts.folder WHERE organisation_id = $1 AND user_id = $2 AND folder_id = $3
RETURNING true

-- name: get_settings
SELECT coalesce(s.default_model, '') AS default_model,
       coalesce(s.recent_assistants, '{}') AS recent_assistants,
       coalesce(s.retention_days, 0) AS retention_days,
       o.chat_retention_days AS organisation_retention_days
FROM accounts.organisation o
LEFT JOIN accounts.user_settings s ON s.organisation_id = o.organisation_id AND s.user_id = $2
WHERE o.organisation_id = $1

-- name: update_settings
INSERT INTO accounts.user_settings AS s (organisation_id, user_id, default_model, retention_days)
VALUES ($1, $2, coalesce($3, ''), coalesce($4, 0))
ON CONFLICT (organisation_id, user_id) DO UPDATE
SET default_model = coalesce($3, s.default_model), retention_days = coalesce($4, s.retention_days)

-- name: update_organisation_settings
UPDATE accounts.organisation SET chat_retention_days = $2 WHERE organisation_id = $1

-- name: note_assistant
INSERT INTO accounts.user_settings AS s (organisation_id, user_id, recent_assistants)
VALUES ($1, $2, ARRAY[$3])
ON CONFLICT (organisation_id, user_id) DO UPDATE
SET recent_assistants = (ARRAY[$3] || array_remove(s.recent_assistants, $3))[1:5]
