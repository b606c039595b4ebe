-- Applies the effects of a batch and acks it, in one step: an entry counts only if its XACK did, and only once.
-- A group that was deleted and recreated delivers again what lies above its recorded position, or above wherever
-- somebody has put it; so the ids applied above the position are kept (a ZSET by their milliseconds, which
-- record_position.lua prunes), and what lies below it was settled.
-- KEYS: stream, position, ids applied above it, then the keys that effects write
-- ARGV: group, number of targets, number of entries,
--       per target: kind, key index, field, extra, extra
--       per entry:  id, number of effects, then target index and value for each
-- Reply: {'applied', indexes (from 0) of entries that were not pending any more or had been applied before}
--     or {'overflow', message} with nothing written
-- Redis does not roll back: whatever can fail is checked before the first write. XACK is that first write,
-- which a full server still allows, and after it the others.
local LIMIT = 9007199254740992 -- 2^53: the last whole number a ZSET score and Lua hold exactly
local TYPES = {hincr = 'hash', zincr = 'zset', zmax = 'zset', zkeep = 'zset', hfirst = 'hash'}
local group, target_count, entry_count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local kinds = {}
local function check_type(key, wanted)
  -- A key that does not exist yet is of the type that the first effect on it makes it.
  local kind = kinds[key] or redis.call('TYPE', key)['ok']
  if kind == 'none' then kind = wanted end
  kinds[key] = kind
  if kind ~= wanted then
    return redis.error_reply('WRONGTYPE the projection key ' .. key .. ' is a ' .. kind .. ', not a ' .. wanted)
  end
end

-- The number in a hash's field as HINCRBY takes it, 0 if there is none; nil and an error for anything else.
local function hash_number(key, field)
  local text = redis.call('HGET', key, field)
  if not text then return 0 end
  if text == '0' or string.match(text, '^%-?[1-9]%d*$') then return tonumber(text) end
  return nil, redis.error_reply('WRONGTYPE the projection field ' .. field .. ' of ' .. key .. ' is not a whole number')
end

local function overflow(key, field)
  return {'overflow', key .. ' ' .. field .. ' would pass 2^53'}
end

-- The numbers that change by adding to them: several targets may add to one.
local counters = {}
local function counter(kind, key, field)
  local name = kind .. key .. '\0' .. field
  if not counters[name] then counters[name] = {kind = kind, key = key, field = field, offered = 0, offers = 0} end
  return counters[name]
end

local wrong = check_type(KEYS[3], 'zset')
if wrong then return wrong end
local targets, at = {}, 4
for i = 1, target_count do
  local target = {kind = ARGV[at], key = KEYS[tonumber(ARGV[at + 1])], field = ARGV[at + 2],
    a = ARGV[at + 3], b = ARGV[at + 4], sum = 0, highest = 0}
  wrong = TYPES[target.kind] and check_type(target.key, TYPES[target.kind])
  if wrong then return wrong end
  if target.kind == 'hincr' then target.counter = counter('hash', target.key, target.field)
  elseif target.kind == 'zincr' then target.counter = counter('zset', target.key, target.field)
  elseif target.kind == 'hfirst' then
    target.counter = counter('hash', KEYS[tonumber(target.a)], target.b)
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
    local size = math.abs(tonumber(value))
    target.highest = math.max(target.highest, size)
    if target.counter then
      target.counter.offers = target.counter.offers + 1
      target.counter.offered = target.counter.offered + (target.kind == 'hfirst' and 1 or size)
    end
    at = at + 2
  end
  entries[i] = entry
end

for _, target in ipairs(targets) do
  if target.kind ~= 'expire' and target.highest >= LIMIT then return overflow(target.key, target.field) end
end
for _, number in pairs(counters) do
  local current, wrong
  if number.kind == 'hash' then
    current, wrong = hash_number(number.key, number.field)
    if wrong then return wrong end
  else
    current = tonumber(redis.call('ZSCORE', number.key, number.field) or 0)
  end
  if number.offers > 0 and math.abs(current) + number.offered >= LIMIT then
    return overflow(number.key, number.field)
  end
end

local position
position, wrong = recorded_position(KEYS[2])
if wrong then return wrong end
local function is_new(id)
  return id_less(position, id) and not redis.call('ZSCORE', KEYS[3], id)
end

local not_pending = {}
for i, entry in ipairs(entries) do
  if redis.call('XACK', KEYS[1], group, entry.id) == 1 and is_new(entry.id) then
    redis.call('ZADD', KEYS[3], string.match(entry.id, '^%d+'), entry.id)
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
