-- The transaction began before the ages were read, so no search seems to be made later than it was.
-- Writers share this lock and a clearing has it alone, so that none of them writes what it has just forgotten.
-- name: lock_shared
SELECT pg_advisory_xact_lock_shared($1)

-- name: lock
SELECT pg_advisory_xact_lock($1)

-- name: add
INSERT INTO accounts.past_search (search_id, organisation_id, user_id, query, request, hit_count, total_ms, trace_id, create_time)
SELECT n.search_id, n.organisation_id, n.user_id, n.query, n.request::json, n.hit_count, n.total_ms, n.trace_id, n.create_time
FROM (
    SELECT *, now() - make_interval(secs => age_seconds) AS create_time
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::float8[], $8::text[], $9::float8[])
        AS u(search_id, organisation_id, user_id, query, request, hit_count, total_ms, trace_id, age_seconds)
) n
JOIN accounts.organisation o USING (organisation_id)
WHERE NOT EXISTS (
    SELECT FROM accounts.search_history_clearing c
    WHERE c.organisation_id = n.organisation_id AND c.user_id = n.user_id AND c.clear_time >= n.create_time
)

-- name: list
SELECT search_id, query, request, hit_count, total_ms, trace_id, create_time
FROM accounts.past_search
WHERE organisation_id = $1 AND user_id = $2 AND ($3::timestamptz IS NULL OR (create_time, search_id) < ($3, $4))
ORDER BY create_time DESC, search_id DESC
LIMIT $5

-- name: delete
DELETE FROM accounts.past_search WHERE organisation_id = $1 AND user_id = $2 AND search_id = $3 RETURNING true

-- name: mark_cleared
INSERT INTO accounts.search_history_clearing (organisation_id, user_id, clear_time)
VALUES ($1, $2, clock_timestamp())
ON CONFLICT (organisation_id, user_id) DO UPDATE SET clear_time = excluded.clear_time

-- name: clear
DELETE FROM accounts.past_search WHERE organisation_id = $1 AND user_id = $2

-- name: prune_old
DELETE FROM accounts.past_search WHERE create_time < now() - make_interval(days => $1)

-- name: prune_many
DELETE FROM accounts.past_search
WHERE search_id IN (
    SELECT search_id
    FROM (
        SELECT search_id, row_number() OVER (PARTITION BY organisation_id, user_id ORDER BY create_time DESC, search_id DESC) AS place
        FROM accounts.past_search
    ) numbered
    WHERE place > $1
)
