-- Renews the lease on entries in flight: resets the idle time of rows that still are this consumer's.
-- XCLAIM alone would steal a row back from a new owner, and drop a row whose payload was removed meanwhile. Such a row
-- is left as it is: its owner holds the payload and may still settle it; should it die, a claim records the loss.
-- KEYS: stream   ARGV: group, consumer, min id, max id, rows at most, id…
-- Reply: number renewed, ids whose payload is gone
local group, consumer = ARGV[1], ARGV[2]
local asked, ours, gone = {}, {}, {}
for i = 6, #ARGV do asked[ARGV[i]] = true end
for _, row in ipairs(redis.call('XPENDING', KEYS[1], group, ARGV[3], ARGV[4], ARGV[5], consumer)) do
  local id = row[1]
  if asked[id] then
    local list = redis.call('XRANGE', KEYS[1], id, id)[1] and ours or gone
    list[#list + 1] = id
  end
end
local renewed = 0
local IDS_MAX = 5000 -- well below what `unpack` holds
for first = 1, #ours, IDS_MAX do
  local claim = {'XCLAIM', KEYS[1], group, consumer, 0}
  for i = first, math.min(first + IDS_MAX - 1, #ours) do claim[#claim + 1] = ours[i] end
  claim[#claim + 1] = 'JUSTID'
  renewed = renewed + #redis.call(unpack(claim))
end
return {renewed, gone}
