-- Applies the effects of a batch and acks it, in one step: an entry counts only if its XACK did.
-- KEYS: stream, then the keys that effects write
-- ARGV: group, number of targets, number of entries,
--       per target: kind, key index, field, extra, extra
--       per entry:  id, number of effects, then target index and value for each
-- Reply: {'applied', indexes (from 0) of entries that were not pending any more}
--     or {'overflow', message} with nothing written
-- Redis does not roll back: whatever can fail is checked before the first write. XACK is that first write,
-- which a full server still allows, and after it the others.
local LIMIT = 9007199254740992 -- 2^53: the last whole number a ZSET score and Lua hold exactly
local TYPES = {hincr = 'hash', zincr = 'zset', zmax = 'zset', zkeep = 'zset', hfirst = 'hash'}
local group, target_count, entry_count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local function check_type(key, wanted)
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'none' and kind ~= wanted then
    return redis.error_reply('WRONGTYPE the projection key ' .. key .. ' is a ' .. kind .. ', not a ' .. wanted)
  end
end

local targets, at = {}, 4
for i = 1, target_count do
  local target = {kind = ARGV[at], key = KEYS[tonumber(ARGV[at + 1])], field = ARGV[at + 2],
    a = ARGV[at + 3], b = ARGV[at + 4], sum = 0, offered = 0}
  local wrong = TYPES[target.kind] and check_type(target.key, TYPES[target.kind])
  if wrong then return wrong end
  if target.kind == 'hfirst' then
    wrong = check_type(KEYS[tonumber(target.a)], 'hash')
    if wrong then return wrong end
  end
  targets[i] = target
  at = at + 5
end

local entries = {}
for i = 1, entry_count do
  local entry = {id = ARGV[at], effects = {}}
  local effect_count = tonumber(ARGV[at + 1])
  at = at + 2
  for j = 1, effect_count do
    local target, value = targets[tonumber(ARGV[at])], ARGV[at + 1]
    entry.effects[j] = {target, value}
    if target.kind == 'hincr' or target.kind == 'zincr' then
      target.offered = target.offered + math.abs(tonumber(value))
    end
    at = at + 2
  end
  entries[i] = entry
end

for _, target in ipairs(targets) do
  local current = 0
  if target.kind == 'hincr' then
    current = tonumber(redis.call('HGET', target.key, target.field) or 0)
  elseif target.kind == 'zincr' then
    current = tonumber(redis.call('ZSCORE', target.key, target.field) or 0)
  end
  if not current then
    return redis.error_reply('WRONGTYPE the projection field ' .. target.field .. ' of ' .. target.key .. ' is not a number')
  end
  if math.abs(current) + target.offered >= LIMIT then
    return {'overflow', target.key .. ' ' .. target.field .. ' would pass 2^53'}
  end
end

local not_pending = {}
for i, entry in ipairs(entries) do
  if redis.call('XACK', KEYS[1], group, entry.id) == 1 then
    for _, effect in ipairs(entry.effects) do
      local target, value = effect[1], effect[2]
      if target.kind == 'hincr' or target.kind == 'zincr' then
        target.sum = target.sum + tonumber(value)
        target.used = true
      elseif target.kind == 'zmax' then
        local score = tonumber(value)
        if not target.used or score > target.sum then target.sum = score end
        target.used = true
      elseif target.kind == 'zkeep' then
        redis.call('ZADD', target.key, value, target.field)
        redis.call('ZREMRANGEBYRANK', target.key, 0, -tonumber(target.a) - 1)
      elseif target.kind == 'hfirst' then
        if redis.call('HSETNX', target.key, target.field, value) == 1 then
          local key = KEYS[tonumber(target.a)]
          redis.call('HINCRBY', key, target.b, 1)
        end
      else -- expire: once for the key, after everything was written
        target.used = true
      end
    end
  else
    not_pending[#not_pending + 1] = i - 1
  end
end

for _, target in ipairs(targets) do
  if target.used then
    local number = string.format('%.0f', target.sum)
    if target.kind == 'hincr' then redis.call('HINCRBY', target.key, target.field, number)
    elseif target.kind == 'zincr' then redis.call('ZINCRBY', target.key, number, target.field)
    elseif target.kind == 'zmax' then redis.call('ZADD', target.key, 'GT', number, target.field)
    end
  end
end
for _, target in ipairs(targets) do
  if target.kind == 'expire' and target.used then redis.call('PEXPIRE', target.key, target.a) end
end
return {'applied', not_pending}
