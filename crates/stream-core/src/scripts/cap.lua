-- Retention by length, one call: XTRIM MAXLEN, and the losses of each group since the last call, whoever trimmed.
-- A group's `edge` is the number of removals after which everything that it was handed is gone, and what goes then
-- is lost to it. A lower bound: a group that moved between two calls is taken to have read what it passed,
-- and nothing is counted where somebody may have used XDEL, or the stream was made anew.
-- KEYS: stream, reaper lease, marks, losses of the groups   ARGV: lease value, entries to keep
-- Marks: 'stream' to removals, first id, last generated id; 'group:<name>' to last-delivered id, edge ('~': at most)
-- Reply: {'fenced'}, else as retain.lua's
local COUNT_MAX = 10000 -- entries looked at to find a group's edge: some 10 ms

local stream, marks_key, lost_key = KEYS[1], KEYS[3], KEYS[4]
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return {'fenced'} end
local marks, wrong = read_hash(marks_key)
if wrong then return wrong end
local lost
lost, wrong = read_hash(lost_key)
if wrong then return wrong end

local function text(number) return string.format('%.0f', number) end

local function look()
  if redis.call('EXISTS', stream) == 0 then return nil end
  local info = named(redis.call('XINFO', 'STREAM', stream))
  local first, last = info['first-entry'], info['last-entry']
  return {
    length = info['length'], removed = info['entries-added'] - info['length'],
    -- Nil in a reply is false here. Of an empty stream: what comes is after the last.
    first = first and first[1] or info['last-generated-id'], last = last and last[1] or info['last-generated-id'],
    generated = info['last-generated-id'], deleted = info['max-deleted-entry-id'],
  }
end

-- The removals after which all entries up to `id` are gone, and whether that is exact.
local function edge_of(seen, id)
  if seen.length == 0 or id_less(id, seen.first) then return seen.removed, true end
  if not id_less(id, seen.last) then return seen.removed + seen.length, true end
  local before = #redis.call('XRANGE', stream, '-', id, 'COUNT', COUNT_MAX + 1)
  if before <= COUNT_MAX then return seen.removed + before, true end
  return seen.removed + seen.length, false
end

-- Counts what was lost since the marks were set, and sets them anew.
local function account(seen, groups)
  local removed, first, generated = string.match(marks['stream'] or '', '^(%d+) (%d+%-%d+) (%d+%-%d+)$')
  removed = tonumber(removed)
  -- An XDEL since then would have hit an entry at or after the one that was the first then.
  local trusted = removed and seen.removed >= removed and not id_less(seen.generated, generated)
    and id_less(seen.deleted, first)
  for _, group in ipairs(groups) do
    local name, delivered = group['name'], group['last-delivered-id']
    local at, bound, edge = string.match(marks['group:' .. name] or '', '^(%d+%-%d+) (~?)(%d+)$')
    edge = tonumber(edge)
    local same = trusted and edge and at == delivered
    if same then
      local gone = seen.removed - math.max(edge, removed)
      if gone > 0 and seen.first ~= first then
        lost[name] = lost_so_far(lost, name) + gone
        group.lost = true
      end
    end
    if not same or bound == '~' then
      local exact
      edge, exact = edge_of(seen, delivered)
      bound = exact and '' or '~'
    end
    marks['group:' .. name] = delivered .. ' ' .. bound .. text(edge)
  end
  marks['stream'] = text(seen.removed) .. ' ' .. seen.first .. ' ' .. seen.generated
end

local before, groups, seen, removed, present = {}, groups_of(stream), look(), 0, {}
for field, value in pairs(marks) do before[field] = value end
if seen then
  account(seen, groups)
  removed = redis.call('XTRIM', stream, 'MAXLEN', '~', ARGV[2])
  if removed > 0 then account(look(), groups) end
  if before['stream'] ~= marks['stream'] then redis.call('HSET', marks_key, 'stream', marks['stream']) end
end
for _, group in ipairs(groups) do
  local name = group['name']
  present[name] = true
  local field = 'group:' .. name
  if before[field] ~= marks[field] then redis.call('HSET', marks_key, field, marks[field]) end
  if group.lost then redis.call('HSET', lost_key, name, text(lost[name])) end
end
forget_others(marks_key, before, present, 'group:')
forget_others(lost_key, lost, present, '')

local reply = {removed, '0-0', ''}
for _, group in ipairs(groups) do
  reply[#reply + 1] = {group['name'], 'unguarded', 0, '', lost_so_far(lost, group['name'])}
end
return reply
