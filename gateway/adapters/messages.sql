-- Writing to a chat is what makes it new; the row is locked until the messages are there.
-- name: touch_chat
UPDATE accounts.chat SET update_time = now()
WHERE organisation_id = $1 AND user_id = $2 AND chat_id = $3
RETURNING true

-- name: insert_question
INSERT INTO accounts.message (message_id, organisation_id, user_id, chat_id, parent_id, role, state, text, model, scope, end_time)
VALUES ($4, $1, $2, $3, $5, 'user', 'COMPLETE', $6, $7, $8, now())
RETURNING *, false AS lost

-- name: insert_answer
INSERT INTO accounts.message (message_id, organisation_id, user_id, chat_id, parent_id, role, state, trace_id, lease_until)
VALUES ($4, $1, $2, $3, $5, 'assistant', 'STREAMING', $6, now() + make_interval(secs => $7))
RETURNING *, false AS lost

-- name: get_message
SELECT m.*, m.lease_until < now() AS lost
FROM accounts.message m
JOIN accounts.chat c USING (organisation_id, user_id, chat_id)
WHERE c.organisation_id = $1 AND (c.user_id = $2 OR c.visibility = 'organisation') AND c.chat_id = $3 AND m.message_id = $4

-- name: newest_answer
SELECT m.*, m.lease_until < now() AS lost
FROM accounts.message m
WHERE m.organisation_id = $1 AND m.user_id = $2 AND m.chat_id = $3 AND m.role = 'assistant'
ORDER BY m.ordinal DESC
LIMIT 1

-- name: list_messages
SELECT m.*, m.lease_until < now() AS lost
FROM accounts.message m
JOIN accounts.chat c USING (organisation_id, user_id, chat_id)
WHERE c.organisation_id = $1 AND (c.user_id = $2 OR c.visibility = 'organisation') AND c.chat_id = $3 AND m.ordinal > $4
ORDER BY m.ordinal
LIMIT $5

-- name: branch
WITH RECURSIVE path AS (
    SELECT m.message_id, m.parent_id, m.ordinal
    FROM accounts.message m
    JOIN accounts.chat c USING (organisation_id, user_id, chat_id)
    WHERE c.organisation_id = $1 AND (c.user_id = $2 OR c.visibility = 'organisation') AND c.chat_id = $3 AND m.message_id = $4
    UNION ALL
    SELECT m.message_id, m.parent_id, m.ordinal
    FROM path p
    JOIN accounts.message m ON m.chat_id = $3 AND m.message_id = p.parent_id
)
SELECT m.*, m.lease_until < now() AS lost
FROM path p
JOIN accounts.message m USING (message_id)
WHERE p.ordinal > $5
ORDER BY p.ordinal
LIMIT $6

-- name: path
WITH RECURSIVE path AS (
    SELECT m.message_id, m.parent_id, 1 AS steps
    FROM accounts.message m
    WHERE m.organisation_id = $1 AND m.user_id = $2 AND m.chat_id = $3 AND m.message_id = $4
    UNION ALL
    SELECT m.message_id, m.parent_id, p.steps + 1
    FROM path p
    JOIN accounts.message m ON m.chat_id = $3 AND m.message_id = p.parent_id
    WHERE p.steps < $5
)
SELECT m.*, m.lease_until < now() AS lost
FROM path p
JOIN accounts.message m USING (message_id)
ORDER BY m.ordinal

-- name: end_answer
UPDATE accounts.message
SET state = $4, text = $5, model = $6, citations = $7, hits = $8, answered = $9, finish_reason = $10, reason = $11, timings_ms = $12,
    lease_until = NULL, end_time = now()
WHERE organisation_id = $1 AND user_id = $2 AND message_id = $3 AND state = 'STREAMING'
RETURNING *, false AS lost

-- name: rate
UPDATE accounts.message SET rating = $5, comment = $6
WHERE organisation_id = $1 AND user_id = $2 AND chat_id = $3 AND message_id = $4 AND role = 'assistant'
RETURNING *, lease_until < now() AS lost

-- name: want_stop
UPDATE accounts.message SET stop_wanted = true
WHERE organisation_id = $1 AND user_id = $2 AND chat_id = $3 AND message_id = $4 AND state = 'STREAMING'

-- name: renew
UPDATE accounts.message SET lease_until = now() + make_interval(secs => $2)
WHERE message_id = ANY($1) AND state = 'STREAMING'
RETURNING message_id, stop_wanted

-- name: fail_lost
WITH lost AS (
    UPDATE accounts.message
    SET state = 'FAILED', reason = $1, lease_until = NULL, end_time = now()
    WHERE state = 'STREAMING' AND lease_until < now()
    RETURNING 1
)
SELECT count(*) FROM lost
