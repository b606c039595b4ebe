-- Applies a page of history to the next generation of a projection, together with the cursor: whoever replays, and
-- however often, each page counts once.
-- An entry counts if it was applied before the rebuild began: see rebuild_begin.lua.
-- KEYS: the projection's state, ids applied at the beginning, ids that the replay leaves out, retention's holds, then the
--       keys that effects write
-- ARGV: epoch, the cursor that the page comes after, the cursor after it, entries in it, the hold's name, its time to
--       live in ms, the owner, then a batch (see effects.lua)
-- Reply: {'applied'}, or with nothing written {'moved'}, {'elsewhere', cursor}, {'overflow', message}
-- In a replay an entry's time to live counts from its own time, but a key stays at least for LINGER_MS, so that the
-- entries still to come find it.
local LINGER_MS = 3600 * 1000
local state = redis.call('HMGET', KEYS[1], 'epoch', 'cursor', 'settled', 'next')
if state[1] ~= ARGV[1] then return {'moved'} end
if state[2] ~= ARGV[2] then return {'elsewhere', state[2]} end
local settled, field = state[3], 'counted:' .. state[4]
local wrong = check_type({}, KEYS[2], 'zset') or check_type({}, KEYS[3], 'set') or check_type({}, KEYS[4], 'hash')
if wrong then return wrong end
for _, number in ipairs({field, 'seen', 'replayed', 'rejected'}) do
  local _, not_a_number = hash_number(KEYS[1], number)
  if not_a_number then return not_a_number end
end
local batch
batch, wrong = read_batch(8, 5, false)
if wrong then return wrong end

local function was_applied(id)
  if redis.call('ZSCORE', KEYS[2], id) then return true end
  return not id_less(settled, id) and redis.call('SISMEMBER', KEYS[3], id) == 0
end

local now = unix_ms()
-- The first write is one that a full server refuses: then nothing has happened.
redis.call('HSET', KEYS[1], 'phase', 'replay', 'cursor', ARGV[3], 'owner', ARGV[7])
local applied, rejected = 0, 0
for _, entry in ipairs(batch.entries) do
  if was_applied(entry.id) then
    if entry.rejected then
      rejected = rejected + 1
    else
      applied = applied + 1
      apply(batch, entry)
    end
  end
end
write_gathered(batch, function(target)
  local remaining = math.min(math.max(target.newest + tonumber(target.a) - now, LINGER_MS), LIMIT)
  if redis.call('PTTL', target.key) < remaining then
    redis.call('PEXPIRE', target.key, string.format('%.0f', remaining))
  end
end)
redis.call('HINCRBY', KEYS[1], field, applied)
redis.call('HINCRBY', KEYS[1], 'replayed', applied)
redis.call('HINCRBY', KEYS[1], 'rejected', rejected)
redis.call('HINCRBY', KEYS[1], 'seen', ARGV[4])
redis.call('HSET', KEYS[4], ARGV[5], ARGV[3] .. ' ' .. string.format('%.0f', now + tonumber(ARGV[6])))
return {'applied'}
