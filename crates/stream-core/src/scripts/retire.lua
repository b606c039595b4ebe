-- The reaper's end of a dead consumer, one page: moves its rows to a live peer, and deletes it once it has none.
-- KEYS: stream, dead letters, reaper lease, the dead consumer's lease, worker registry, the peer's lease if there is a peer
-- ARGV: group, lease value, dead consumer, peer or '', page
-- Reply: {'fenced'}, {'alive'} when the consumer came back, {'peer gone'} when the peer has left, else number moved, 1 if deleted, lost ids
if redis.call('GET', KEYS[3]) ~= ARGV[2] then return {'fenced'} end
if redis.call('EXISTS', KEYS[4]) == 1 then return {'alive'} end
-- A peer that left after it was chosen would get rows that nobody renews, and would come back to life as a consumer.
if KEYS[6] and redis.call('EXISTS', KEYS[6]) == 0 then return {'peer gone'} end
local stream, dlq, group, dead, peer = KEYS[1], KEYS[2], ARGV[1], ARGV[3], ARGV[4]
local wrong = check_dead_letters(dlq)
if wrong then return wrong end
local moved, lost = 0, {}
if peer ~= '' then
  -- Idle for long, so that the peer (or anyone) claims the rows at its next tick; counts stay as they are.
  local rows = redis.call('XPENDING', stream, group, '-', '+', ARGV[5], dead)
  moved, lost = claim_rows(stream, dlq, group, peer, rows, {'IDLE', 3600000})
end
if redis.call('XPENDING', stream, group, '-', '+', 1, dead)[1] then return {moved, 0, lost} end
redis.call('XGROUP', 'DELCONSUMER', stream, group, dead)
-- The redrive stream comes first; the consumer is gone when it has left the stream itself.
if not is_redrive(stream, dlq, group) then redis.call('HDEL', KEYS[5], group .. '/' .. dead) end
return {moved, 1, lost}
