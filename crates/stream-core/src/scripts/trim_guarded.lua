-- Guarded retention: trims by age, but never past what a group it waits for has not acked.
-- The watermark and the trim are one script: a group created in between would otherwise lose entries.
-- KEYS: stream   ARGV: cutoff id, group…
-- Reply: number trimmed, the id trimmed to, the group that held it back or ''
local function less(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  local function fewer(x, y) return #x < #y or (#x == #y and x < y) end
  return fewer(a_ms, b_ms) or (a_ms == b_ms and fewer(a_seq, b_seq))
end
local limit, holder = ARGV[1], ''
local delivered = {}
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    delivered[fields['name']] = fields['last-delivered-id']
  end
end
for i = 2, #ARGV do
  local group = ARGV[i]
  -- A group that does not exist yet has read nothing: nothing may go.
  local needs = delivered[group] or '0-0'
  if delivered[group] then
    local oldest = redis.call('XPENDING', KEYS[1], group, '-', '+', 1)[1]
    if oldest and less(oldest[1], needs) then needs = oldest[1] end
  end
  if less(needs, limit) then limit, holder = needs, group end
end
return {redis.call('XTRIM', KEYS[1], 'MINID', '~', limit), limit, holder}
