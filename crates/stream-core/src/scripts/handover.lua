-- Moves pending entries from one consumer to another, one page; delivery counts stay as they are.
-- KEYS: stream, dead letters   ARGV: group, from, to, idle ms to set, page
-- Reply: number moved, lost ids, 1 if more may be left
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, page = ARGV[1], tonumber(ARGV[5])
local rows = redis.call('XPENDING', KEYS[1], group, '-', '+', page, ARGV[2])
if #rows == 0 then return {0, {}, 0} end
local claim, by_id = {'XCLAIM', KEYS[1], group, ARGV[3], 0}, {}
for _, row in ipairs(rows) do
  claim[#claim + 1] = row[1]
  by_id[row[1]] = row
end
for _, option in ipairs({'IDLE', ARGV[4], 'JUSTID'}) do claim[#claim + 1] = option end
local moved = redis.call(unpack(claim))
for _, id in ipairs(moved) do by_id[id] = nil end
local lost = {}
for id, row in pairs(by_id) do
  record_lost(KEYS[2], group, row)
  lost[#lost + 1] = id
end
return {#moved, lost, #rows == page and 1 or 0}
