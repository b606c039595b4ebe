-- Shared by the scripts that apply effects: a batch is read from ARGV, checked whole, applied entry by entry, and written
-- at the end, to the keys of one generation of a projection or of two.
-- Redis does not roll back: whatever can fail is found by read_batch, before the first write.
local LIMIT = 9007199254740992 -- 2^53: the last whole number a ZSET score and Lua hold exactly
local TYPES = {hincr = 'hash', zincr = 'zset', zmax = 'zset', zkeep = 'zset', hfirst = 'hash'}

local function unix_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A key that does not exist yet is of the type that the first effect on it makes it: `kinds` remembers that.
local function check_type(kinds, key, wanted)
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

-- The number that a target adds to, if it does: several targets may add to one.
local function counter_of(counters, target, key_at)
  local kind, key, field = nil, target.key, target.field
  if target.kind == 'hincr' then kind = 'hash'
  elseif target.kind == 'zincr' then kind = 'zset'
  elseif target.kind == 'hfirst' then kind, key, field = 'hash', key_at(target.a), target.b
  else return nil end
  local name = kind .. key .. '\0' .. field
  if not counters[name] then counters[name] = {kind = kind, key = key, field = field, offered = 0, offers = 0} end
  return counters[name]
end

-- Reads from ARGV[at] on: number of generations, keys of each, number of targets, number of entries;
--   per target: kind, key index (from 1), field, extra, extra
--   per entry:  id, its row if it is from a redrive stream, number of effects (-1: rejected), target index and value of each
-- KEYS from `first` on: those of the first generation, then those of the second.
-- Returns the batch, or nil and the reply that refuses it.
local function read_batch(at, first, redrive)
  local generation_count, key_count = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local target_count, entry_count = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  at = at + 4
  local kinds, counters, generations = {}, {}, {}
  for g = 1, generation_count do
    local function key_at(index) return KEYS[first + (g - 1) * key_count + tonumber(index) - 1] end
    local targets = {}
    for i = 1, target_count do
      local a = at + (i - 1) * 5
      local target = {kind = ARGV[a], key = key_at(ARGV[a + 1]), field = ARGV[a + 2], a = ARGV[a + 3], b = ARGV[a + 4],
        sum = 0, highest = 0, newest = 0}
      local wrong = TYPES[target.kind] and check_type(kinds, target.key, TYPES[target.kind])
      if not wrong and target.kind == 'hfirst' then
        target.counter_key = key_at(target.a)
        wrong = check_type(kinds, target.counter_key, 'hash')
      end
      if wrong then return nil, wrong end
      target.counter = counter_of(counters, target, key_at)
      targets[i] = target
    end
    generations[g] = targets
  end
  at = at + target_count * 5

  local entries = {}
  for i = 1, entry_count do
    local entry = {id = ARGV[at], row = ARGV[at], effects = {}}
    at = at + 1
    if redrive then
      entry.row = ARGV[at]
      at = at + 1
    end
    local effect_count = tonumber(ARGV[at])
    entry.rejected = effect_count < 0
    at = at + 1
    for j = 1, effect_count do
      local index, value = tonumber(ARGV[at]), ARGV[at + 1]
      entry.effects[j] = {index, value}
      local size = math.abs(tonumber(value))
      for _, targets in ipairs(generations) do
        local target = targets[index]
        target.highest = math.max(target.highest, size)
        local counter = target.counter
        if counter then
          counter.offers = counter.offers + 1
          counter.offered = counter.offered + (target.kind == 'hfirst' and 1 or size)
        end
      end
      at = at + 2
    end
    entries[i] = entry
  end

  for _, target in ipairs(generations[1]) do
    if target.kind ~= 'expire' and target.highest >= LIMIT then return nil, overflow(target.key, target.field) end
  end
  for _, number in pairs(counters) do
    local current, wrong
    if number.kind == 'hash' then
      current, wrong = hash_number(number.key, number.field)
      if wrong then return nil, wrong end
    else
      current = tonumber(redis.call('ZSCORE', number.key, number.field) or 0)
    end
    if number.offers > 0 and math.abs(current) + number.offered >= LIMIT then
      return nil, overflow(number.key, number.field)
    end
  end
  return {generations = generations, entries = entries}
end

-- Applies one entry: sums and maxima are gathered, what depends on the order is written.
local function apply(batch, entry)
  for _, targets in ipairs(batch.generations) do
    for _, effect in ipairs(entry.effects) do
      local target, value = targets[effect[1]], effect[2]
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
          redis.call('HINCRBY', target.counter_key, target.b, 1)
        end
      else -- expire: once for the key, after everything was written
        target.newest = math.max(target.newest, tonumber(string.match(entry.id, '^%d+')))
        target.used = true
      end
    end
  end
end

-- Writes what was gathered; `expire` sets a key's time to live.
local function write_gathered(batch, expire)
  for _, targets in ipairs(batch.generations) do
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
      if target.kind == 'expire' and target.used then expire(target) end
    end
  end
end
