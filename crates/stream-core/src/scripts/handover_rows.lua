-- Moves these pending entries of one live consumer to another.
-- KEYS: stream, dead letters, the peer's lease
-- ARGV: group, from, to, idle ms to set, number never started, id… (never started first, then started)
-- An entry that was never started gets its delivery count back. Rows that are not the source's any more are left alone.
-- Reply: {'peer gone'} with nothing done, else number moved, lost ids
if redis.call('EXISTS', KEYS[3]) == 0 then return {'peer gone'} end
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, from, to, unstarted = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local moved, lost = 0, {}
for i = 6, #ARGV do
  local row = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1, from)[1]
  if row then
    local count = row[4]
    if i - 5 <= unstarted then count = math.max(count - 1, 0) end
    local claimed, gone = claim_rows(KEYS[1], KEYS[2], group, to, {row}, {'IDLE', ARGV[4], 'RETRYCOUNT', count})
    moved = moved + claimed
    for _, id in ipairs(gone) do lost[#lost + 1] = id end
  end
end
return {moved, lost}
