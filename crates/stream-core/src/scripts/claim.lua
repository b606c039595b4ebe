-- Takes idle pending entries over, one page, and settles what can no longer be handled.
-- KEYS: stream, dead letters
-- ARGV: group, consumer, min idle ms, start, page, max deliveries, suspect deliveries, suspects allowed, owner or ''
-- Reply: next start or '', {{id, fields, deliveries}…}, lost ids, dead ids, skipped suspects, {oversize id, owner, deliveries…}
local stream, dlq = KEYS[1], KEYS[2]
local group, consumer, min_idle, start = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local page, max_deliveries = tonumber(ARGV[5]), tonumber(ARGV[6])
local suspect_deliveries, suspects_allowed = tonumber(ARGV[7]), tonumber(ARGV[8])

local wrong = check_dead_letters(dlq)
if wrong then return wrong end

local query = {'XPENDING', stream, group, 'IDLE', min_idle, start, '+', page}
if ARGV[9] ~= '' then query[#query + 1] = ARGV[9] end
local rows = redis.call(unpack(query))

local wanted, by_id, dead, oversize, skipped = {}, {}, {}, {}, 0
for _, row in ipairs(rows) do
  local id, owner, deliveries = row[1], row[2], row[4]
  if deliveries >= max_deliveries then
    local outcome = dead_letter(stream, dlq, group, owner, id, deliveries, 'max_deliveries',
      'delivered ' .. deliveries .. ' times and never settled')
    if outcome == 'moved' then dead[#dead + 1] = id
    else for _, value in ipairs({id, owner, deliveries}) do oversize[#oversize + 1] = value end end
  elseif deliveries >= suspect_deliveries and suspects_allowed <= 0 then
    skipped = skipped + 1
  else
    if deliveries >= suspect_deliveries then suspects_allowed = suspects_allowed - 1 end
    wanted[#wanted + 1] = id
    by_id[id] = row
  end
end

local entries, lost = {}, {}
if #wanted > 0 then
  for _, entry in ipairs(redis.call('XCLAIM', stream, group, consumer, min_idle, unpack(wanted))) do
    entries[#entries + 1] = {entry[1], entry[2], by_id[entry[1]][4] + 1}
    by_id[entry[1]] = nil
  end
  -- Not returned although it was idle long enough a moment ago: the payload is gone, and with it the row. Or the
  -- clock was set back in between, and nothing has happened.
  for _, id in ipairs(wanted) do
    if by_id[id] and not redis.call('XRANGE', stream, id, id)[1] then
      record_lost(dlq, group, by_id[id])
      lost[#lost + 1] = id
    end
  end
end

local next_start = ''
if #rows == page then next_start = '(' .. rows[#rows][1] end
return {next_start, entries, lost, dead, skipped, oversize}
