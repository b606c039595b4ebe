-- Takes idle pending entries over, one page, and settles what can no longer be handled.
-- KEYS: stream, dead letters
-- ARGV: group, consumer, min idle ms, start, page, max deliveries, suspect deliveries, suspects allowed, owner or ''
-- Reply: next start or '', {{id, fields, deliveries}…}, lost ids, dead ids, skipped suspects, {oversize id, owner, deliveries…}
local stream, dlq = KEYS[1], KEYS[2]
local group, consumer, min_idle, start = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local page, max_deliveries = tonumber(ARGV[5]), tonumber(ARGV[6])
local suspect_deliveries, suspects_allowed = tonumber(ARGV[7]), tonumber(ARGV[8])

local query = {'XPENDING', stream, group, 'IDLE', min_idle, start, '+', page}
if ARGV[9] ~= '' then query[#query + 1] = ARGV[9] end
local rows = redis.call(unpack(query))

local wanted, by_id, doomed, skipped = {}, {}, {}, 0
for _, row in ipairs(rows) do
  local id, deliveries = row[1], row[4]
  by_id[id] = row
  local gone = not redis.call('XRANGE', stream, id, id)[1]
  -- XCLAIM would purge a row whose payload is gone without a trace.
  if gone or deliveries >= max_deliveries then
    doomed[#doomed + 1] = {row = row, gone = gone}
  elseif deliveries >= suspect_deliveries and suspects_allowed <= 0 then
    skipped = skipped + 1
  else
    if deliveries >= suspect_deliveries then suspects_allowed = suspects_allowed - 1 end
    wanted[#wanted + 1] = id
  end
end

-- Claims come first: they are a write that a full server allows, and after one it allows the dead letters too; and
-- dead letters that cannot be written must not keep the other entries from being recovered.
local entries = {}
if #wanted > 0 then
  for _, entry in ipairs(redis.call('XCLAIM', stream, group, consumer, min_idle, unpack(wanted))) do
    entries[#entries + 1] = {entry[1], entry[2], by_id[entry[1]][4] + 1}
  end
end

local lost, dead, oversize = {}, {}, {}
local wrong = #doomed > 0 and check_dead_letters(dlq)
if wrong and #entries == 0 then return wrong end
for _, each in ipairs(wrong and {} or doomed) do
  local id, owner, deliveries = each.row[1], each.row[2], each.row[4]
  if each.gone then
    record_lost(stream, dlq, group, each.row)
    settle(stream, dlq, group, id)
    lost[#lost + 1] = id
  elseif dead_letter(stream, dlq, group, owner, id, deliveries, 'max_deliveries',
    'delivered ' .. deliveries .. ' times and never settled') == 'moved' then
    dead[#dead + 1] = id
  else
    for _, value in ipairs({id, owner, deliveries}) do oversize[#oversize + 1] = value end
  end
end

local next_start = ''
if #rows == page then next_start = '(' .. rows[#rows][1] end
return {next_start, entries, lost, dead, skipped, oversize}
