-- Renews the lease on entries in flight: resets the idle time of rows that still are this consumer's.
-- XCLAIM alone would steal a row back from a new owner.
-- KEYS: stream, dead letters   ARGV: group, consumer, min id, max id, rows at most, id…
-- Reply: number renewed, ids whose payload is gone (recorded as dead letters)
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, consumer = ARGV[1], ARGV[2]
local asked, ours = {}, {}
for i = 6, #ARGV do asked[ARGV[i]] = true end
for _, row in ipairs(redis.call('XPENDING', KEYS[1], group, ARGV[3], ARGV[4], ARGV[5], consumer)) do
  if asked[row[1]] then ours[#ours + 1] = row end
end
local renewed, lost = claim_rows(KEYS[1], KEYS[2], group, consumer, ours, {})
return {renewed, lost}
