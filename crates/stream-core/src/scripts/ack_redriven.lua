-- Settles entries of a redrive stream, which nobody else reads: acked and deleted in one step.
-- KEYS: stream   ARGV: group, id…   Reply: how many were pending
local acked = 0
for first = 2, #ARGV, 5000 do -- well below what `unpack` holds
  local last = math.min(first + 4999, #ARGV)
  acked = acked + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, first, last))
  redis.call('XDEL', KEYS[1], unpack(ARGV, first, last))
end
return acked
