-- Applies the effects of a batch and acks it, in one step: an entry counts only if its XACK did, and only once.
-- A group that was deleted and recreated delivers again what lies above its recorded position, or above wherever
-- somebody has put it; so the ids applied above the position are kept (a ZSET by their milliseconds, which
-- record_position.lua prunes), and what lies below it was settled.
-- A dead letter that was sent back lies below the position by then: what counts for it is whether its original id was
-- applied, by the stream (the ids above the position) or by a redrive (the redriven ids, which record_position.lua joins
-- by those that were applied in spite of a dead letter).
-- While a projection is rebuilt, everything is applied to the generation that is built as well.
-- KEYS: the stream or redrive stream, position, ids applied above it, the projection's state, redriven ids,
--       ids that a replay leaves out, then the keys that effects write: of the live generation, of the next
-- ARGV: group, the epoch that the keys are of, '1' for a redrive stream or '', then a batch (see effects.lua)
-- Reply: {'applied', indexes (from 0) of entries that were not pending any more or had been applied before,
--         indexes of rejected entries that were not: they are left pending}
--     or with nothing written {'overflow', message}, {'moved', epoch, live generation, next generation or ''}
-- XACK is the first write, which a full server still allows, and after it the others.
local REDRIVEN_MAX, REDRIVEN_MS = 1000000, 90 * 86400 * 1000
local group, redrive = ARGV[1], ARGV[3] == '1'

local state = redis.call('HMGET', KEYS[4], 'epoch', 'live', 'next')
local epoch, live, next_generation = state[1] or '0', state[2] or '0', state[3]
if epoch ~= ARGV[2] then
  -- What is not written as numbers are would be told, come back as a number, and be told again, for ever.
  for _, number in ipairs({epoch, live, next_generation or '0'}) do
    if number ~= '0' and not string.match(number, '^[1-9]%d*$') then
      return redis.error_reply('WRONGTYPE the projection state ' .. KEYS[4] .. ' holds ' .. number .. ', not a generation')
    end
  end
  return {'moved', epoch, live, next_generation or ''}
end

local kinds = {}
local wrong = check_type(kinds, KEYS[3], 'zset')
if not wrong and redrive then wrong = check_type(kinds, KEYS[5], 'zset') or check_type(kinds, KEYS[6], 'set') end
if wrong then return wrong end
local counted = {'counted:' .. live, next_generation and 'counted:' .. next_generation or nil}
for _, field in ipairs(counted) do
  local number, not_a_number = hash_number(KEYS[4], field)
  if not_a_number then return not_a_number end
  if math.abs(number) >= LIMIT then
    return redis.error_reply('WRONGTYPE the projection field ' .. field .. ' of ' .. KEYS[4] .. ' is beyond 2^53')
  end
end
local position
position, wrong = recorded_position(KEYS[2])
if wrong then return wrong end
local batch
batch, wrong = read_batch(4, 7, redrive)
if wrong then return wrong end

local function is_new(id)
  if redrive then return not (redis.call('ZSCORE', KEYS[3], id) or redis.call('ZSCORE', KEYS[5], id)) end
  return id_less(position, id) and not redis.call('ZSCORE', KEYS[3], id)
end

local applied, not_pending, rejected = 0, {}, {}
for i, entry in ipairs(batch.entries) do
  if entry.rejected and is_new(entry.id) then
    rejected[#rejected + 1] = i - 1
  else
    local acked = redis.call('XACK', KEYS[1], group, entry.row) == 1
    if acked and not entry.rejected and is_new(entry.id) then
      if not redrive or id_less(position, entry.id) then
        redis.call('ZADD', KEYS[3], string.match(entry.id, '^%d+'), entry.id)
      end
      if redrive then
        redis.call('ZADD', KEYS[5], string.format('%.0f', unix_ms()), entry.id)
        if next_generation then redis.call('SADD', KEYS[6], entry.id) end
      end
      applied = applied + 1
      apply(batch, entry)
    else
      not_pending[#not_pending + 1] = i - 1
    end
    if acked and redrive then redis.call('XDEL', KEYS[1], entry.row) end
  end
end

write_gathered(batch, function(target) redis.call('PEXPIRE', target.key, target.a) end)
if applied > 0 then
  for _, field in ipairs(counted) do redis.call('HINCRBY', KEYS[4], field, applied) end
  if redrive then
    redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', string.format('%.0f', unix_ms() - REDRIVEN_MS))
    redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -REDRIVEN_MAX - 1)
  end
end
return {'applied', not_pending, rejected}
