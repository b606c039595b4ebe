-- Takes one delivery of an entry back from its count, and leaves the entry with its consumer, leased anew.
-- KEYS: stream, dead letters
-- ARGV: group, consumer, id
-- Reply: 1, or 0 if the entry is not this consumer's any more (then nothing was done), or its payload was gone (recorded).
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1]
if not row then return 0 end
local options = {'RETRYCOUNT', math.max(row[4] - 1, 0)}
return (claim_rows(KEYS[1], KEYS[2], ARGV[1], ARGV[2], {row}, options))
