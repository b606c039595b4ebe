-- Records the group's low watermark: an ID up to which every entry is settled. It only ever rises.
-- KEYS: stream, position, ids applied above it (see commit.lua)   ARGV: group   Reply: the recorded position
local position = '0-0'
local oldest = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1)[1]
if oldest then
  -- The entry before the oldest pending one: no arithmetic on IDs is needed.
  local before = redis.call('XREVRANGE', KEYS[1], '(' .. oldest[1], '-', 'COUNT', 1)[1]
  if before then position = before[1] end
else
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields['name'] == ARGV[1] then position = fields['last-delivered-id'] end
  end
end
local recorded, wrong = recorded_position(KEYS[2])
if wrong then return wrong end
if not id_less(recorded, position) then return recorded end
redis.call('SET', KEYS[2], position)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. string.match(position, '^%d+'))
return position
