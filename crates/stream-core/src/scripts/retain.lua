-- Retention by age, one call: how far may be trimmed, the trim, and what the trim cost whom, in one step: a group
-- created in between would otherwise lose entries. A required group is waited for however long; every other
-- one until it has been silent for so long. A group is silent while there is something that it has not read or
-- not acked, its last-delivered ID stays, and none of its consumers holds its name. Trims a node at a time: a call is short.
-- Whoever holds retention back (a rebuild) is waited for until its hold ends.
-- KEYS: stream, reaper lease, state of the groups, losses of the groups, holds, name leases of consumers…
-- ARGV: lease value, 'trim' or 'look' (which writes nothing and needs no lease), 'guarded' or 'age', cutoff id,
--       stale after ms, number of required groups, required groups…, the group of each name lease…
-- Reply: {'fenced'}, else the number trimmed, the id that might be trimmed to, the group or the hold that keeps older entries or '',
--        and for each group: name, standing, silent ms, oldest entry that it needs or '', entries lost to it
local UNSEEN_MS_MAX = 60000 -- longer than it takes until another reaper is the active one

local stream, state_key, lost_key = KEYS[1], KEYS[3], KEYS[4]
local acting, guarded, cutoff = ARGV[2] == 'trim', ARGV[3] == 'guarded', ARGV[4]
local stale_after, required_count = tonumber(ARGV[5]), tonumber(ARGV[6])
if acting and redis.call('GET', KEYS[2]) ~= ARGV[1] then return {'fenced'} end
local state, wrong = read_hash(state_key)
if wrong then return wrong end
local lost
lost, wrong = read_hash(lost_key)
if wrong then return wrong end
local holds
holds, wrong = read_hash(KEYS[5])
if wrong then return wrong end

local alive, required, present = {}, {}, {}
for i = 1, required_count do required[ARGV[6 + i]] = true end
for i = 6, #KEYS do
  local group = ARGV[6 + required_count + i - 5]
  if not alive[group] and redis.call('EXISTS', KEYS[i]) == 1 then alive[group] = true end
end

local now, groups = now_ms(), groups_of(stream)
local info = redis.call('EXISTS', stream) == 1 and named(redis.call('XINFO', 'STREAM', stream)) or {}
local first = info['first-entry'] and info['first-entry'][1]
local limit, holder = cutoff, ''
for _, group in ipairs(groups) do
  local name, delivered = group['name'], group['last-delivered-id']
  present[name] = true
  group.undelivered = entry_after(stream, delivered)
  group.needs = group.undelivered
  -- A row below the first entry has nothing left that could be kept for it.
  local pending = first and redis.call('XPENDING', stream, name, first, '+', 1)[1]
  if pending and (not group.needs or id_less(pending[1], group.needs)) then group.needs = pending[1] end

  local seen, since, looked = string.match(state[name] or '', '^(%d+%-%d+) (%d+) (%d+)$')
  since, looked = tonumber(since), tonumber(looked)
  -- Time in which nobody looked, or a clock that jumped, proves no silence; and nobody could have been warned.
  if since and now - looked > UNSEEN_MS_MAX then since = since + (now - looked) end
  -- Done by itself, that is: not a group of which retention has removed what it had to do.
  local done = not group.needs and not id_less(delivered, info['last-generated-id'])
  local heard = seen ~= delivered or alive[name] or done
  if not since or heard or since > now then since = now end
  group.since = since
  group.standing = 'unguarded'
  if guarded then
    if required[name] then group.standing = 'required'
    elseif now - since >= stale_after then group.standing = 'stale'
    else group.standing = 'waiting' end
  end
  group.waited = group.standing == 'required' or group.standing == 'waiting'
  if group.waited and group.needs and id_less(group.needs, limit) then limit, holder = group.needs, name end
end
-- A group that does not exist yet has read nothing: nothing may go. Nor may it for one that was destroyed under its
-- consumers: they recreate it where it was.
local function wait_for_missing(name)
  if guarded and not present[name] and limit ~= '0-0' then
    limit = '0-0'
    holder = first and id_less(first, cutoff) and name or ''
  end
end
for i = 1, required_count do wait_for_missing(ARGV[6 + i]) end
for name in pairs(alive) do wait_for_missing(name) end

for name, hold in pairs(holds) do
  local after, till = string.match(hold, '^(%d+%-%d+) (%d+)$')
  if after and tonumber(till) > now and id_less(after, limit) then
    limit, holder = after, first and id_less(first, cutoff) and name or ''
  end
end

local removed = 0
if acting then
  -- To the first entry that a group nobody waits for has not been handed, and only then beyond it:
  -- so everything that one call removes is lost to such a group, or nothing.
  local target = limit
  for _, group in ipairs(groups) do
    local unread = group.undelivered
    if not group.waited and unread and id_less(first, unread) and id_less(unread, target) then target = unread end
  end
  removed = redis.call('XTRIM', stream, 'MINID', '~', target)
  -- What is left before it does not fill a node.
  if removed == 0 and target ~= limit then removed = redis.call('XTRIM', stream, 'MINID', '=', target) end
  for _, group in ipairs(groups) do
    local name = group['name']
    if removed > 0 and group.undelivered == first then
      lost[name] = lost_so_far(lost, name) + removed
      redis.call('HSET', lost_key, name, string.format('%.0f', lost[name]))
    end
    local noted = string.format('%s %.0f %.0f', group['last-delivered-id'], group.since, now)
    redis.call('HSET', state_key, name, noted)
  end
  forget_others(state_key, state, present, '')
  forget_others(lost_key, lost, present, '')
end

local reply = {removed, limit, holder}
for _, group in ipairs(groups) do
  local name = group['name']
  reply[#reply + 1] = {name, group.standing, now - group.since, group.needs or '', lost_so_far(lost, name)}
end
return reply
