-- Deletes keys of a generation that nobody uses any more, or forgets the generation once all of them are gone.
-- KEYS: the projection's state, then keys of the generation   ARGV: the generation
-- Reply: number deleted, or -1 if the generation is in use
local state = redis.call('HMGET', KEYS[1], 'live', 'next')
if (state[1] or '0') == ARGV[1] or state[2] == ARGV[1] then return -1 end
if #KEYS == 1 then return redis.call('HDEL', KEYS[1], 'drop:' .. ARGV[1], 'counted:' .. ARGV[1]) end
local keys = {}
for i = 2, #KEYS do keys[#keys + 1] = KEYS[i] end
return redis.call('UNLINK', unpack(keys))
