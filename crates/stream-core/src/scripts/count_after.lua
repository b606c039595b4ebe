-- Counts the entries after an ID without sending them: from there to the end, or, where that is too far, from the
-- first entry to there. KEYS: stream   ARGV: id, entries looked at most each way   Reply: the number, or -1
local bound = tonumber(ARGV[2])
local after = #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', bound)
if after < bound then return after end
local before = #redis.call('XRANGE', KEYS[1], '-', ARGV[1], 'COUNT', bound)
if before < bound then return redis.call('XLEN', KEYS[1]) - before end
return -1
