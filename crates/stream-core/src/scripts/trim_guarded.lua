-- Guarded retention: trims by age, but never past what a group it waits for has not acked.
-- The watermark and the trim are one script: a group created in between would otherwise lose entries.
-- KEYS: stream   ARGV: cutoff id, group…
-- Reply: number trimmed, the id trimmed to, the group that keeps older entries from going or ''
-- `from`: the first ID that the holder still needs; '(' excludes one that it has already acked.
local limit, holder, from = ARGV[1], '', ''
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
  local start = '(' .. needs
  if delivered[group] then
    local oldest = redis.call('XPENDING', KEYS[1], group, '-', '+', 1)[1]
    if oldest and not id_less(needs, oldest[1]) then needs, start = oldest[1], oldest[1] end
  end
  if id_less(needs, limit) then limit, holder, from = needs, group, start end
end
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', limit)
-- A group holds retention back only if something that it needs is older than the cutoff.
if holder ~= '' and not redis.call('XRANGE', KEYS[1], from, '(' .. ARGV[1], 'COUNT', 1)[1] then holder = '' end
return {removed, limit, holder}
