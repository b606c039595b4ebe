-- Renews the lease on entries in flight: resets the idle time of rows that still are this consumer's.
-- XCLAIM alone would steal a row back from a new owner, and drop a row whose payload was removed meanwhile. Such a row
-- is left as it is where its owner holds the payload and can still settle it: an ack needs no payload, and settle_dead.lua
-- takes it from the owner. But no command resets its idle time, so that its owner has until somebody's claim finds it idle
-- for long enough: the claim records the loss, also if the owner has died. What the owner settles after that is settled
-- already. Of an entry that waits for another attempt nobody holds the payload: its loss is recorded here.
-- KEYS: stream, dead letters
-- ARGV: group, consumer, min id, max id, rows at most, number that wait, id… (those that wait first)
-- Reply: number renewed, ids whose payload is gone, ids that wait and were recorded as lost, ids that are not this
--   consumer's any more
local stream, dlq, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local rows_max, waiting_count = tonumber(ARGV[5]), tonumber(ARGV[6])
local asked, waits, ours, gone, lost, away = {}, {}, {}, {}, {}, {}
for i = 7, #ARGV do asked[ARGV[i]] = true end
for i = 7, 6 + waiting_count do waits[ARGV[i]] = true end
local doomed = {}
local function look_at(row)
  local id = row[1]
  if asked[id] then
    asked[id] = nil
    if redis.call('XRANGE', stream, id, id)[1] then ours[#ours + 1] = id
    elseif waits[id] then doomed[#doomed + 1] = row
    else gone[#gone + 1] = id end
  end
end
local rows = redis.call('XPENDING', stream, group, ARGV[3], ARGV[4], rows_max, consumer)
for _, row in ipairs(rows) do look_at(row) end
-- A consumer that was given a long list has more rows than are looked at in one go: the others by themselves.
if #rows == rows_max then
  for i = 7, #ARGV do
    local row = asked[ARGV[i]] and redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1, consumer)[1]
    if row then look_at(row) end
  end
end
local renewed = 0
local IDS_MAX = 5000 -- well below what `unpack` holds
for first = 1, #ours, IDS_MAX do
  local claim = {'XCLAIM', stream, group, consumer, 0}
  for i = first, math.min(first + IDS_MAX - 1, #ours) do claim[#claim + 1] = ours[i] end
  claim[#claim + 1] = 'JUSTID'
  renewed = renewed + #redis.call(unpack(claim))
end
-- Dead letters that cannot be written must not cost the other entries their leases.
if #doomed > 0 and not check_dead_letters(dlq) then
  for _, row in ipairs(doomed) do
    record_lost(stream, dlq, group, row)
    settle(stream, dlq, group, row[1])
    lost[#lost + 1] = row[1]
  end
end
for i = 7, #ARGV do
  if asked[ARGV[i]] then away[#away + 1] = ARGV[i] end
end
return {renewed, gone, lost, away}
