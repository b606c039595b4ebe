-- Takes pending entries over, a page of idle ones or those that are named, and settles what can no longer be handled.
-- KEYS: stream, dead letters
-- ARGV: group, consumer, min idle ms, start, page, max deliveries, suspect deliveries, suspects allowed, owner or '',
--   1 if an earlier attempt may have been applied; then, instead of a page, id and deliveries of each entry wanted
-- Reply: next start or '', {{id, fields, deliveries}…}, lost ids, dead ids, {suspect left where it is, deliveries…},
--   {oversize id, owner, deliveries…}, why dead letters could not be written or ''
local stream, dlq = KEYS[1], KEYS[2]
local group, consumer, min_idle, start = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local page, max_deliveries = tonumber(ARGV[5]), tonumber(ARGV[6])
local suspect_deliveries, suspects_allowed = tonumber(ARGV[7]), tonumber(ARGV[8])
local owner, again = ARGV[9], ARGV[10] == '1'

local function fits(row)
  -- Rows that were given back for anybody (XNACK) show -1.
  return (row[3] < 0 or row[3] >= tonumber(min_idle)) and (owner == '' or row[2] == owner)
end

-- Counted already: this consumer's, by an attempt whose answer did not arrive.
local counted, rows = {}, {}
if #ARGV > 10 then
  for i = 11, #ARGV, 2 do
    local row, deliveries = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1], tonumber(ARGV[i + 1])
    if row and row[4] == deliveries and fits(row) then
      rows[#rows + 1] = row
    elseif row and again and row[4] == deliveries + 1 and row[2] == consumer then
      counted[row[1]] = true
      rows[#rows + 1] = row
    end
  end
else
  local query = {'XPENDING', stream, group, 'IDLE', min_idle, start, '+', page}
  if owner ~= '' then query[#query + 1] = owner end
  rows = redis.call(unpack(query))
end

local wanted, kept, by_id, doomed, suspects, entries = {}, {}, {}, {}, {}, {}
for _, row in ipairs(rows) do
  local id, deliveries = row[1], row[4]
  by_id[id] = row
  local found = redis.call('XRANGE', stream, id, id)[1]
  -- XCLAIM would purge a row whose payload is gone without a trace.
  if not found or (deliveries >= max_deliveries and not counted[id]) then
    doomed[#doomed + 1] = {row = row, gone = not found}
  elseif deliveries >= suspect_deliveries and suspects_allowed <= 0 then
    suspects[#suspects + 1] = id
    suspects[#suspects + 1] = deliveries
  else
    if deliveries >= suspect_deliveries then suspects_allowed = suspects_allowed - 1 end
    if counted[id] then
      kept[#kept + 1] = id
      entries[#entries + 1] = {id, found[2], deliveries}
    else
      wanted[#wanted + 1] = id
    end
  end
end

-- Claims come first: they are a write that a full server allows, and after one it allows the dead letters too; and
-- dead letters that cannot be written must not keep the other entries from being recovered.
if #kept > 0 then
  local renew = {'XCLAIM', stream, group, consumer, 0, unpack(kept)}
  renew[#renew + 1] = 'JUSTID'
  redis.call(unpack(renew))
end
if #wanted > 0 then
  for _, entry in ipairs(redis.call('XCLAIM', stream, group, consumer, min_idle, unpack(wanted))) do
    entries[#entries + 1] = {entry[1], entry[2], by_id[entry[1]][4] + 1}
  end
end

local lost, dead, oversize, refused = {}, {}, {}, ''
local function bury(each)
  local id, holder, deliveries = each.row[1], each.row[2], each.row[4]
  if each.gone then
    record_lost(stream, dlq, group, each.row)
    settle(stream, dlq, group, id)
    lost[#lost + 1] = id
  elseif dead_letter(stream, dlq, group, holder, id, deliveries, 'max_deliveries',
    'delivered ' .. deliveries .. ' times and never settled') == 'moved' then
    dead[#dead + 1] = id
  else
    for _, value in ipairs({id, holder, deliveries}) do oversize[#oversize + 1] = value end
  end
end
local wrong = #doomed > 0 and check_dead_letters(dlq)
if wrong then refused = wrong.err end
for _, each in ipairs(wrong and {} or doomed) do
  -- What a full server refuses is the append, with which it begins: that entry is as it was, and so are those after it.
  local done, problem = pcall(bury, each)
  if not done then
    refused = type(problem) == 'table' and problem.err or tostring(problem)
    break
  end
end

local next_start = ''
if #ARGV == 10 and #rows == page then next_start = '(' .. rows[#rows][1] end
return {next_start, entries, lost, dead, suspects, oversize, refused}
