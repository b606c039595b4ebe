-- Records the group's low watermark: an ID up to which every entry is settled. It only ever rises.
-- KEYS: stream, position   ARGV: group   Reply: the recorded position
local function later(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if not b_ms then return true end
  -- Digits, not numbers: Lua's numbers are exact only below 2^53.
  local function more(x, y) return #x > #y or (#x == #y and x > y) end
  return more(a_ms, b_ms) or (a_ms == b_ms and more(a_seq, b_seq))
end

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
local recorded = redis.call('GET', KEYS[2])
if recorded and not later(position, recorded) then return recorded end
redis.call('SET', KEYS[2], position)
return position
