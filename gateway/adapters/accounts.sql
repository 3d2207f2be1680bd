-- name: has_schema
SELECT to_regclass('accounts.alembic_version') IS NOT NULL

-- name: schema_version
SELECT version_num FROM accounts.alembic_version

-- name: any_organisation
SELECT EXISTS (SELECT FROM accounts.organisation)

-- name: insert_organisation
INSERT INTO accounts.organisation (organisation_id, name)
VALUES ($1, $2)
ON CONFLICT (name) DO NOTHING
RETURNING organisation_id, name, create_time

-- name: get_organisation
SELECT organisation_id, name, create_time
FROM accounts.organisation
WHERE organisation_id = $1

-- name: list_organisations
SELECT organisation_id, name, create_time
FROM accounts.organisation
WHERE $1::timestamptz IS NULL OR (create_time, organisation_id) > ($1, $2)
ORDER BY create_time, organisation_id
LIMIT $3

-- name: lock_organisation
SELECT organisation_id FROM accounts.organisation WHERE organisation_id = $1 FOR UPDATE

-- name: insert_api_key
INSERT INTO accounts.api_key (api_key_id, organisation_id, name, prefix, digest, role, expire_time)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING api_key_id, organisation_id, name, prefix, role, create_time, last_used_time, expire_time, revoke_time

-- name: list_api_keys
SELECT api_key_id, organisation_id, name, prefix, role, create_time, last_used_time, expire_time, revoke_time
FROM accounts.api_key
WHERE organisation_id = $1 AND ($2::timestamptz IS NULL OR (create_time, api_key_id) > ($2, $3))
ORDER BY create_time, api_key_id
LIMIT $4

-- name: get_api_key
SELECT api_key_id, organisation_id, name, prefix, role, create_time, last_used_time, expire_time, revoke_time
FROM accounts.api_key
WHERE organisation_id = $1 AND api_key_id = $2

-- name: revoke_api_key
UPDATE accounts.api_key
SET revoke_time = coalesce(revoke_time, now())
WHERE organisation_id = $1 AND api_key_id = $2

-- name: has_admin_key
SELECT EXISTS (
    SELECT FROM accounts.api_key
    WHERE organisation_id = $1 AND role <> 'member' AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > now())
)

-- name: usable_key
SELECT api_key_id, organisation_id, role, digest,
       last_used_time IS NULL OR last_used_time < now() - interval '1 minute' AS use_is_stale
FROM accounts.api_key
WHERE prefix = $1 AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > now())

-- name: note_use
UPDATE accounts.api_key
SET last_used_time = now()
WHERE api_key_id = $1 AND (last_used_time IS NULL OR last_used_time < now() - interval '1 minute')
