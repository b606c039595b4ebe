-- Bounds the dead letters of a group by number and by age, oldest first, and counts what is dropped.
-- KEYS: dead letters, their drop counter, reaper lease
-- ARGV: lease value, most entries or 0, longest age in ms or 0, most entries dropped by this call for each bound
-- Reply: {'fenced'} when the lease is not ours, else number dropped now, number ever dropped, 1 if more is to go
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return {'fenced'} end
local dlq, counter = KEYS[1], KEYS[2]
local max_entries, max_age_ms, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kind = redis.call('TYPE', dlq)['ok']
if kind ~= 'none' and kind ~= 'stream' then
  return redis.error_reply('WRONGTYPE the dead letters ' .. dlq .. ' are a ' .. kind .. ', not a stream')
end
kind = redis.call('TYPE', counter)['ok']
local before = kind == 'none' and '0' or kind == 'string' and redis.call('GET', counter)
-- Fifteen digits: far from where INCRBY would overflow, and exact in Lua.
if not before or not string.match(before, '^%d+$') or #before > 15 then
  return redis.error_reply('WRONGTYPE the counter ' .. counter .. ' is not a number of dropped dead letters; delete it')
end

local dropped, more = 0, 0
local function drop(...)
  local removed = redis.call('XTRIM', dlq, ...)
  dropped = dropped + removed
  return removed
end
if max_entries > 0 then
  local length = redis.call('XLEN', dlq)
  if length > max_entries then
    drop('MAXLEN', '=', string.format('%.0f', math.max(max_entries, length - limit)))
    if length - limit > max_entries then more = 1 end
  end
end
if max_age_ms > 0 then
  local now = redis.call('TIME')
  local oldest = string.format('%.0f', math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - max_age_ms))
  -- Whole nodes up to the limit; once there is none left, what is old of the first one.
  if drop('MINID', '~', oldest, 'LIMIT', ARGV[4]) > 0 then
    local first = redis.call('XRANGE', dlq, '-', '+', 'COUNT', 1)[1]
    if first and tonumber(string.match(first[1], '^%d+')) < tonumber(oldest) then more = 1 end
  else
    drop('MINID', '=', oldest)
  end
end
-- Trimming is what a full server allows; after a write of this script it allows the counter too.
if dropped > 0 then redis.call('INCRBY', counter, dropped) end
return {dropped, before + dropped, more}
