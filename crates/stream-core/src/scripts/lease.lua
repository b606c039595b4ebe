#!lua flags=allow-oom
-- Leases: a string with a TTL whose value names its holder. Allowed on a full server: those who could make room,
-- consumers that drain and the reaper that trims, need their leases for it.
-- KEYS: lease   ARGV: verb, ttl ms, value, expected value
-- take:   takes a free lease, or one whose value is the expected one (a holder known to be gone).
--         Reply {1} or {0, holder's value, remaining ms}.
-- renew:  extends the lease while its value is ours. Reply {1} or {0}.
-- release: deletes the lease while its value is ours. Reply {1} or {0}.
local held = redis.call('GET', KEYS[1])
if ARGV[1] == 'take' then
  if held and held ~= ARGV[4] then return {0, held, redis.call('PTTL', KEYS[1])} end
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
  return {1}
end
if held ~= ARGV[3] then return {0} end
if ARGV[1] == 'renew' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) else redis.call('DEL', KEYS[1]) end
return {1}
