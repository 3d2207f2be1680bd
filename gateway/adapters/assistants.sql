-- name: insert
INSERT INTO accounts.assistant (
    assistant_id, organisation_id, owner_id, name, description, prompt, visibility, avatar, starter_messages, collections, model, language
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (organisation_id, name) DO NOTHING
RETURNING *

-- name: get
SELECT *
FROM accounts.assistant
WHERE (organisation_id = $1 OR organisation_id IS NULL) AND (visibility = 'organisation' OR owner_id = $2 OR $3) AND (assistant_id = $4 OR name = $4)
ORDER BY (assistant_id = $4) DESC, organisation_id NULLS LAST
LIMIT 1

-- name: list
SELECT *
FROM accounts.assistant
WHERE (organisation_id = $1 OR organisation_id IS NULL) AND (visibility = 'organisation' OR owner_id = $2 OR $3)
  AND ($4::text IS NULL OR (name, assistant_id) > ($4, $5))
ORDER BY name, assistant_id
LIMIT $6

-- name: update
UPDATE accounts.assistant
SET name = coalesce($2, name), description = coalesce($3, description), prompt = coalesce($4, prompt),
    visibility = coalesce($5, visibility), avatar = coalesce($6, avatar), starter_messages = coalesce($7, starter_messages),
    collections = coalesce($8, collections), model = coalesce($9, model), language = coalesce($10, language), update_time = now()
WHERE assistant_id = $1
RETURNING *

-- name: delete
DELETE FROM accounts.assistant WHERE assistant_id = $1

-- name: lock_built_in
SELECT pg_advisory_xact_lock($1)

-- name: delete_built_in_but
DELETE FROM accounts.assistant WHERE organisation_id IS NULL AND name <> ALL($1)

-- name: upsert_built_in
INSERT INTO accounts.assistant AS old (
    assistant_id, name, description, prompt, visibility, avatar, starter_messages, collections, model, language
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (organisation_id, name) DO UPDATE
SET description = $3, prompt = $4, visibility = $5, avatar = $6, starter_messages = $7, collections = $8, model = $9, language = $10, update_time = now()
WHERE (old.description, old.prompt, old.avatar, old.starter_messages, old.collections, old.model, old.language)
      IS DISTINCT FROM ($3, $4, $6, $7, $8, $9, $10)
