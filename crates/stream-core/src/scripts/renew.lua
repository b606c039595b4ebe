-- Renews the lease on entries in flight: resets the idle time of rows that still are this consumer's.
-- XCLAIM alone would steal a row back from a new owner.
-- KEYS: stream, dead letters   ARGV: group, consumer, min id, max id, rows at most, id…
-- Reply: number renewed, ids whose payload is gone (recorded as dead letters)
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, consumer = ARGV[1], ARGV[2]
local asked = {}
for i = 6, #ARGV do asked[ARGV[i]] = true end
local rows = redis.call('XPENDING', KEYS[1], group, ARGV[3], ARGV[4], ARGV[5], consumer)
local ids, by_id = {}, {}
for _, row in ipairs(rows) do
  if asked[row[1]] then
    ids[#ids + 1] = row[1]
    by_id[row[1]] = row
  end
end
if #ids == 0 then return {0, {}} end
local claim = {'XCLAIM', KEYS[1], group, consumer, 0}
for _, id in ipairs(ids) do claim[#claim + 1] = id end
claim[#claim + 1] = 'JUSTID'
local renewed = redis.call(unpack(claim))
for _, id in ipairs(renewed) do by_id[id] = nil end
local lost = {}
for _, id in ipairs(ids) do
  if by_id[id] then
    record_lost(KEYS[2], group, by_id[id])
    lost[#lost + 1] = id
  end
end
return {#renewed, lost}
