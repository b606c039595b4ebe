-- The end of the transaction that appends a dead letter too wide for a script: settles its entry. Redis goes on with a
-- transaction of which a command failed, so this looks whether the append did not.
-- KEYS: stream, dead letters   ARGV: group, the entry's id, the id that its dead letter tells, 1 in a redrive stream
-- Reply: 1, or 0 with nothing done
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if not newest or newest[2][2] ~= ARGV[3] then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if ARGV[4] == '1' then redis.call('XDEL', KEYS[1], ARGV[2]) end
return 1
