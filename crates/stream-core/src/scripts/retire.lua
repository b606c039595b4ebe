-- The reaper's end of a dead consumer, one page: moves its rows to a live peer, and deletes it once it has none.
-- KEYS: stream, dead letters, reaper lease, the dead consumer's lease, worker registry
-- ARGV: group, lease value, dead consumer, peer or '', page
-- Reply: {'fenced'}, or {'alive'} when the consumer came back, else number moved, 1 if deleted, lost ids
if redis.call('GET', KEYS[3]) ~= ARGV[2] then return {'fenced'} end
if redis.call('EXISTS', KEYS[4]) == 1 then return {'alive'} end
local stream, dlq, group, dead, peer = KEYS[1], KEYS[2], ARGV[1], ARGV[3], ARGV[4]
local wrong = check_dead_letters(dlq)
if wrong then return wrong end
local moved, lost = 0, {}
if peer ~= '' then
  local claim, by_id, found = {'XCLAIM', stream, group, peer, 0}, {}, false
  for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', ARGV[5], dead)) do
    claim[#claim + 1] = row[1]
    by_id[row[1]] = row
    found = true
  end
  if found then
    -- Idle for long, so that the peer (or anyone) claims the rows at its next tick; counts stay as they are.
    for _, option in ipairs({'IDLE', 3600000, 'JUSTID'}) do claim[#claim + 1] = option end
    for _, id in ipairs(redis.call(unpack(claim))) do
      by_id[id] = nil
      moved = moved + 1
    end
    for id, row in pairs(by_id) do
      record_lost(dlq, group, row)
      lost[#lost + 1] = id
    end
  end
end
if redis.call('XPENDING', stream, group, '-', '+', 1, dead)[1] then return {moved, 0, lost} end
redis.call('XGROUP', 'DELCONSUMER', stream, group, dead)
redis.call('HDEL', KEYS[5], group .. '/' .. dead)
return {moved, 1, lost}
