-- Moves pending entries from one consumer to another, one page; delivery counts stay as they are.
-- KEYS: stream, dead letters   ARGV: group, from, to, idle ms to set, page
-- Reply: number moved, lost ids, 1 if more may be left
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, page = ARGV[1], tonumber(ARGV[5])
local rows = redis.call('XPENDING', KEYS[1], group, '-', '+', page, ARGV[2])
local moved, lost = claim_rows(KEYS[1], KEYS[2], group, ARGV[3], rows, {'IDLE', ARGV[4]})
return {moved, lost, #rows == page and 1 or 0}
