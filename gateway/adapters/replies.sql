-- A row whose lease has ended belongs to a process that died, and one older than a day is forgotten: both begin anew.
-- name: begin
INSERT INTO accounts.idempotent_request AS r (organisation_id, api_key_id, route, key_digest, token, lease_until)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
ON CONFLICT (organisation_id, api_key_id, route, key_digest) DO UPDATE
SET token = excluded.token, lease_until = excluded.lease_until, create_time = now(), fingerprint = NULL, status = NULL, sealed_reply = NULL
WHERE (r.status IS NULL AND r.lease_until < now()) OR r.create_time < now() - interval '24 hours'
RETURNING true

-- name: read
SELECT status, fingerprint, sealed_reply
FROM accounts.idempotent_request
WHERE organisation_id = $1 AND api_key_id = $2 AND route = $3 AND key_digest = $4

-- name: renew
UPDATE accounts.idempotent_request
SET lease_until = now() + make_interval(secs => $6)
WHERE organisation_id = $1 AND api_key_id = $2 AND route = $3 AND key_digest = $4 AND token = $5 AND status IS NULL

-- name: keep
UPDATE accounts.idempotent_request
SET fingerprint = $6, status = $7, sealed_reply = $8
WHERE organisation_id = $1 AND api_key_id = $2 AND route = $3 AND key_digest = $4 AND token = $5 AND status IS NULL

-- name: release
DELETE FROM accounts.idempotent_request
WHERE organisation_id = $1 AND api_key_id = $2 AND route = $3 AND key_digest = $4 AND token = $5 AND status IS NULL

-- name: prune
DELETE FROM accounts.idempotent_request
WHERE create_time < now() - interval '24 hours' AND lease_until < now()
