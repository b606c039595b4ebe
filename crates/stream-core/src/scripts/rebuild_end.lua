-- Ends a rebuild. 'swap': readers and commits go to the next generation from here on, and the live one is dropped after
-- a grace, for those who are reading it. 'abort': the next generation is dropped.
-- A swap is refused if history has lost entries under the replay, unless that was accepted.
-- KEYS: the projection's state, ids applied at the beginning, ids that the replay leaves out, retention's holds
-- ARGV: verb, epoch ('' for any), the hold's name, grace in ms
-- Reply: {'swapped'}, {'aborted'}, {'refused'}, or with nothing done {'moved'}, {'none'}
local ACTIVE = {requested = true, letters = true, replay = true}
local state = redis.call('HMGET', KEYS[1], 'epoch', 'live', 'next', 'phase', 'accept_loss', 'rejected')
local live, building = state[2] or '0', state[3]
if ARGV[2] ~= '' and state[1] ~= ARGV[2] then return {'moved'} end
if not state[4] or not ACTIVE[state[4]] then return {'none'} end
local epoch, wrong = hash_number(KEYS[1], 'epoch')
local before, after
if not wrong then before, wrong = hash_number(KEYS[1], 'counted:' .. live) end
if not wrong then after, wrong = hash_number(KEYS[1], 'counted:' .. (building or '')) end
if wrong then return wrong end

local outcome = ARGV[1] == 'swap' and 'done' or 'aborted'
local lost = before - after - (tonumber(state[6]) or 0)
if outcome == 'done' and lost > 0 and state[5] ~= '1' then outcome = 'refused' end
local now = unix_ms()
-- A write that a full server allows, and after it the others: an abort makes room.
redis.call('UNLINK', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'phase', outcome, 'epoch', epoch + 1)
redis.call('HDEL', KEYS[1], 'next')
if outcome == 'done' then
  redis.call('HSET', KEYS[1], 'live', building, 'drop:' .. live, string.format('%.0f', now + tonumber(ARGV[4])))
elseif building then
  redis.call('HSET', KEYS[1], 'drop:' .. building, string.format('%.0f', now))
end
if outcome == 'refused' then redis.call('HSET', KEYS[1], 'lost', lost) end
redis.call('HDEL', KEYS[4], ARGV[3])
return {outcome == 'done' and 'swapped' or outcome}
