-- Counts entries after an ID, up to a bound, without sending them.
-- KEYS: stream   ARGV: id, bound
return #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
