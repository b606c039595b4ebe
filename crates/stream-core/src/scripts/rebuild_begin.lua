-- Begins a rebuild: from this step on every commit goes to the live generation and to the next one, and what was
-- applied before is noted: everything up to the recorded position but for dead letters, and the ids applied above it.
-- KEYS: stream, position, ids applied above it, the projection's state, ids applied at the beginning, ids that the replay
--       leaves out, retention's holds
-- ARGV: the hold's name, its time to live in ms, most ids to copy, the owner
-- Reply: {'begun'}, {'not_requested'}, {'busy', ids to copy}, {'refused'}
local state = redis.call('HMGET', KEYS[4], 'phase', 'accept_loss', 'epoch', 'live', 'last')
if state[1] ~= 'requested' then return {'not_requested'} end
local live = state[4] or '0'
local position, wrong = recorded_position(KEYS[2])
if not wrong then wrong = check_type({}, KEYS[3], 'zset') or check_type({}, KEYS[7], 'hash') end
if wrong then return wrong end
local epoch, last, counted
epoch, wrong = hash_number(KEYS[4], 'epoch')
if not wrong then last, wrong = hash_number(KEYS[4], 'last') end
if not wrong then counted, wrong = hash_number(KEYS[4], 'counted:' .. live) end
if wrong then return wrong end

local copies = redis.call('ZCARD', KEYS[3])
if copies > tonumber(ARGV[3]) then return {'busy', copies} end

local length, added, oldest = 0, 0, ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info, fields = redis.call('XINFO', 'STREAM', KEYS[1]), {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  length, added = fields['length'], fields['entries-added']
  if fields['first-entry'] then oldest = fields['first-entry'][1] end
end
-- A stream that was deleted has forgotten what was added to it; the projection knows what it has counted.
local lost = math.max(added - length, counted - length, 0)
if lost > 0 and state[2] ~= '1' then
  redis.call('HSET', KEYS[4], 'phase', 'refused', 'lost', lost, 'oldest', oldest)
  return {'refused'}
end

-- Nothing above the highest id that was applied can have been.
local boundary = position
local highest = redis.call('ZRANGE', KEYS[3], 0, 0, 'REV', 'WITHSCORES')[2]
if highest then
  highest = string.format('%.0f-18446744073709551615', tonumber(highest))
  if id_less(boundary, highest) then boundary = highest end
end
redis.call('ZRANGESTORE', KEYS[5], KEYS[3], 0, -1)
redis.call('UNLINK', KEYS[6])
redis.call('HSET', KEYS[4], 'phase', 'letters', 'epoch', epoch + 1, 'next', last + 1, 'last', last + 1, 'owner', ARGV[4],
  'boundary', boundary, 'settled', position, 'cursor', '0-0', 'total', length, 'seen', 0, 'replayed', 0, 'rejected', 0,
  'lost', lost, 'oldest', oldest)
redis.call('HSET', KEYS[7], ARGV[1], '0-0 ' .. string.format('%.0f', unix_ms() + tonumber(ARGV[2])))
return {'begun'}
