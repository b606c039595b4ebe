-- Moves one entry of this consumer to the dead letters, if it still is this consumer's.
-- KEYS: stream, dead letters   ARGV: group, consumer, id, reason, message
-- Reply: 'moved', 'not_pending', 'not_owner' or 'oversize', and the number of deliveries
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not row then return {'not_pending', 0} end
if row[2] ~= ARGV[2] then return {'not_owner', 0} end
return {dead_letter(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], row[4], ARGV[4], ARGV[5]), row[4]}
