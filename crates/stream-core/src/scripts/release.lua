-- Gives entries back so that a peer can claim them at once.
-- KEYS: stream, dead letters
-- ARGV: group, consumer, number never started, id… (never started first, then started)
-- An entry that was never started gets its delivery count back. One whose payload is gone is recorded.
-- Reply: number released.
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, consumer, unstarted = ARGV[1], ARGV[2], tonumber(ARGV[3])
local released = 0
for i = 4, #ARGV do
  local row = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1, consumer)[1]
  if row then
    local count = row[4]
    if i - 3 <= unstarted then count = math.max(count - 1, 0) end
    -- The idle time makes every claimant see the row as long abandoned.
    local options = {'IDLE', 3600000, 'RETRYCOUNT', count}
    released = released + claim_rows(KEYS[1], KEYS[2], group, consumer, {row}, options)
  end
end
return released
