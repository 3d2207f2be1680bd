-- name: insert
INSERT INTO accounts.provider (
    provider_id, organisation_id, name, kind, base_url, models, key_hint, encryption_key_id, sealed_key
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (organisation_id, name) DO NOTHING
RETURNING *

-- name: get
SELECT *
FROM accounts.provider
WHERE organisation_id = $1 AND (provider_id = $2 OR name = $2)
ORDER BY (provider_id = $2) DESC
LIMIT 1

-- name: list
SELECT *
FROM accounts.provider
WHERE organisation_id = $1 AND ($2::text IS NULL OR name > $2)
ORDER BY name
LIMIT $3

-- name: lock
SELECT * FROM accounts.provider WHERE organisation_id = $1 AND provider_id = $2 FOR UPDATE

-- name: update
UPDATE accounts.provider
SET base_url = coalesce($3, base_url), models = coalesce($4, models), key_hint = coalesce($5, key_hint),
    encryption_key_id = $6, sealed_key = $7, update_time = now()
WHERE organisation_id = $1 AND provider_id = $2
RETURNING *

-- name: delete
WITH deleted AS (
    DELETE FROM accounts.provider WHERE organisation_id = $1 AND provider_id = $2 RETURNING name
)
UPDATE accounts.organisation SET language_model = ''
FROM deleted
WHERE organisation_id = $1 AND starts_with(language_model, deleted.name || '/')

-- name: choose_model
SELECT chosen.model AS chosen_model, provider.*
FROM (SELECT organisation_id, coalesce(nullif($2, ''), language_model) AS model FROM accounts.organisation WHERE organisation_id = $1) AS chosen
LEFT JOIN accounts.provider ON provider.organisation_id = chosen.organisation_id
  AND starts_with(chosen.model, provider.name || '/')

-- name: default_model
SELECT language_model FROM accounts.organisation WHERE organisation_id = $1

-- name: set_default_model
UPDATE accounts.organisation SET language_model = $2 WHERE organisation_id = $1

-- name: sealed_under_other_keys
SELECT * FROM accounts.provider WHERE encryption_key_id <> $1 FOR UPDATE

-- name: reseal
UPDATE accounts.provider SET encryption_key_id = $2, sealed_key = $3 WHERE provider_id = $1
