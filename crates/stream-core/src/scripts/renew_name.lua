#!lua flags=allow-oom
-- Extends a consumer's lease, and tells what the consumer has done: in the registry, and added to its group's totals.
-- Counts are absolute. What the registry says of the same holder is in the totals already, so that a call whose answer
-- was lost can be repeated. Telling must not cost the lease: counts that cannot be written are left out.
-- KEYS: lease, worker registry, totals
-- ARGV: ttl ms, holder (the lease's value: a JSON object), registry field, group, then name, count, count last
-- confirmed of each counter
-- Reply: {0} when the lease is not ours, {1, 1}, or {1, 0} when the counts could not be written
local holder, field, group = ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', KEYS[1]) ~= holder then return {0} end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
for i = 2, 3 do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= 'hash' then return {1, 0} end
end

local head = string.sub(holder, 1, -2)
local said = redis.call('HGET', KEYS[2], field)
local is_ours = said and string.sub(said, 1, #head) == head
local counts, added = {}, {}
for i = 5, #ARGV, 3 do
  local name, now = ARGV[i], tonumber(ARGV[i + 1])
  local before = is_ours and string.match(said, '"' .. name .. '":(%d+)', #head) or ARGV[i + 2]
  counts[#counts + 1] = '"' .. name .. '":' .. ARGV[i + 1]
  local more = now - tonumber(before)
  if more > 0 then
    local total = redis.call('HGET', KEYS[3], group .. '/' .. name) or '0'
    -- Nothing else makes HINCRBY fail, and numbers here are exact below 2^53.
    if not string.match(total, '^%d+$') or #total > 15 then return {1, 0} end
    added[#added + 1] = {group .. '/' .. name, string.format('%.0f', more)}
  end
end
local saying = head .. ',"counters":{' .. table.concat(counts, ',') .. '}}'
if said ~= saying then redis.call('HSET', KEYS[2], field, saying) end
for _, each in ipairs(added) do redis.call('HINCRBY', KEYS[3], each[1], each[2]) end
return {1, 1}
