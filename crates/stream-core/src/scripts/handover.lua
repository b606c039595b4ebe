-- Moves pending entries of a consumer that has stopped to a live one, one page; delivery counts stay as they are.
-- KEYS: stream, dead letters, the peer's lease, and the source's lease if it must not be held
-- ARGV: group, from, to, idle ms to set, page
-- Reply: {'peer gone'} or {'alive'} with nothing done, else number moved, lost ids, 1 if more may be left
-- A peer that has left would come back to life as a consumer whose rows nobody renews.
if redis.call('EXISTS', KEYS[3]) == 0 then return {'peer gone'} end
if KEYS[4] and redis.call('EXISTS', KEYS[4]) == 1 then return {'alive'} end
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, page = ARGV[1], tonumber(ARGV[5])
local rows = redis.call('XPENDING', KEYS[1], group, '-', '+', page, ARGV[2])
local moved, lost = claim_rows(KEYS[1], KEYS[2], group, ARGV[3], rows, {'IDLE', ARGV[4]})
return {moved, lost, #rows == page and 1 or 0}
