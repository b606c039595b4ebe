-- The end of the transaction that sends back a dead letter too wide for a script: deletes it. Redis goes on with a
-- transaction of which a command failed, so this looks whether the append did not.
-- KEYS: dead letters, redrive stream   ARGV: the dead letter's own id, the newest id of the redrive stream before, or ''
-- Reply: 1, or 0 with nothing done
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if not newest or newest[1] == ARGV[2] then return 0 end
return redis.call('XDEL', KEYS[1], ARGV[1])
