-- Appends an entry unless its key was seen within the window, and remembers the key in the same step.
-- KEYS: stream, the younger and the older keys of the entry's shard [, the same two of the request's]
-- ARGV: window (ms), most keys of a generation, '1' to write something even if nothing is appended,
--       the entry's field and fingerprint, the request's (empty without one), XADD's arguments…
-- Reply: {0 appended | 1 was there | 2 the key belongs to something else, ID, keys forgotten before their time}
-- A shard's keys are in two small hashes: field → fingerprint (16 bytes) and the entry's ID. Once the younger has begun
-- a whole window ago, or is full, it becomes the older, and what was that is gone: the cost is the same at any size.
local FINGERPRINT_BYTES = 16
local window, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local now

-- Asked only where it matters: most keys are new.
local function now_ms()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end

local function id_of(seen)
  return string.sub(seen, FINGERPRINT_BYTES + 1)
end

local function is_fresh(seen)
  return tonumber(string.match(seen, '^%d+', FINGERPRINT_BYTES + 1)) + window > now_ms()
end

-- What is remembered under a field, and in which generation.
local function recall(shard, field)
  for generation = shard, shard + 1 do
    local seen = redis.call('HGET', KEYS[generation], field)
    if seen and is_fresh(seen) then return seen, KEYS[generation] end
  end
end

-- Returns how many keys had to go within their window.
local function remember(shard, field, seen)
  local younger, older = KEYS[shard], KEYS[shard + 1]
  local count, forgotten = redis.call('HLEN', younger), 0
  local is_full = count >= room
  if is_full or (count > 0 and redis.call('PTTL', younger) <= window) then
    if is_full then
      for _, old in ipairs(redis.call('HVALS', older)) do
        if is_fresh(old) then forgotten = forgotten + 1 end
      end
    end
    redis.call('RENAME', younger, older)
    count = 0
  end
  redis.call('HSET', younger, field, seen)
  -- For its window as the younger, and for another as the older.
  if count == 0 then redis.call('PEXPIRE', younger, 2 * window) end
  return forgotten
end

local request = KEYS[4] and recall(4, ARGV[6])
if request and string.sub(request, 1, FINGERPRINT_BYTES) ~= ARGV[7] then return {2, id_of(request), 0} end
local seen, generation = recall(2, ARGV[4])
if seen then
  if string.sub(seen, 1, FINGERPRINT_BYTES) ~= ARGV[5] then return {2, id_of(seen), 0} end
  -- WAIT waits for what its own connection has written, and the entry was written over another one.
  if ARGV[3] == '1' then redis.call('PEXPIREAT', generation, redis.call('PEXPIRETIME', generation)) end
  return {1, id_of(seen), 0}
end
-- The first write: a full server, a replica or a key of another type refuses it before anything has changed.
local id = redis.call('XADD', KEYS[1], unpack(ARGV, 8))
local forgotten = remember(2, ARGV[4], ARGV[5] .. id)
if KEYS[4] and not request then forgotten = forgotten + remember(4, ARGV[6], ARGV[7] .. id) end
return {0, id, forgotten}
