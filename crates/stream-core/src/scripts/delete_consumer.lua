-- Deletes a consumer if and only if nothing is pending for it: XGROUP DELCONSUMER alone would destroy its rows.
-- KEYS: stream   ARGV: group, consumer   Reply: 1 deleted, 0 kept
if redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])[1] then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
