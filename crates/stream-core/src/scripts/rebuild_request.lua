-- Asks for a rebuild of a projection; a worker that runs the projection takes it up.
-- KEYS: the projection's state   ARGV: '1' to accept that entries are lost or '0'
-- Reply: {'requested', number of the request}, or {'under_way', number of the one that is}
local ACTIVE = {requested = true, letters = true, replay = true}
local state = redis.call('HMGET', KEYS[1], 'phase', 'request')
if state[1] and ACTIVE[state[1]] then return {'under_way', tonumber(state[2]) or 0} end
local request = redis.call('HINCRBY', KEYS[1], 'request', 1)
redis.call('HDEL', KEYS[1], 'message', 'lost', 'oldest', 'boundary', 'settled', 'cursor', 'total', 'seen', 'replayed',
  'rejected', 'owner')
redis.call('HSET', KEYS[1], 'phase', 'requested', 'accept_loss', ARGV[1])
return {'requested', request}
