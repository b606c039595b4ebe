-- Deletes a consumer that nobody is, if and only if nothing is pending for it, and takes it off the registry.
-- KEYS: stream, redrive stream, the consumer's lease, worker registry
-- ARGV: group, consumer, registry field
-- Reply: 'alive', 'pending', or 'deleted'; with the first two nothing was done
if redis.call('EXISTS', KEYS[3]) == 1 then return 'alive' end
local function has_group(stream)
  if redis.call('EXISTS', stream) == 0 then return false end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    for i = 1, #group, 2 do
      if group[i] == 'name' and group[i + 1] == ARGV[1] then return true end
    end
  end
  return false
end
local streams = {}
for i = 1, 2 do
  if has_group(KEYS[i]) then streams[#streams + 1] = KEYS[i] end
end
for _, stream in ipairs(streams) do
  if redis.call('XPENDING', stream, ARGV[1], '-', '+', 1, ARGV[2])[1] then return 'pending' end
end
for _, stream in ipairs(streams) do redis.call('XGROUP', 'DELCONSUMER', stream, ARGV[1], ARGV[2]) end
redis.call('HDEL', KEYS[4], ARGV[3])
return 'deleted'
