-- The reaper's sweep, one page: dead-letters rows that are past the last delivery or whose payload was trimmed.
-- KEYS: stream, dead letters, reaper lease
-- ARGV: group, lease value, min idle ms, start, page, max deliveries
-- Reply: {'fenced'} when the lease is not ours, else next start or '', dead ids, lost ids, {oversize id, owner, deliveries…}
if redis.call('GET', KEYS[3]) ~= ARGV[2] then return {'fenced'} end
local stream, dlq, group = KEYS[1], KEYS[2], ARGV[1]
local page, max_deliveries = tonumber(ARGV[5]), tonumber(ARGV[6])
local wrong = check_dead_letters(dlq)
if wrong then return wrong end

-- Trimming takes the oldest entries, so a row below the first entry is surely lost; holes made by XDEL are found by claims.
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local function below_first(id) return not first or id_less(id, first[1]) end

local rows = redis.call('XPENDING', stream, group, 'IDLE', ARGV[3], ARGV[4], '+', page)
local dead, lost, oversize = {}, {}, {}
for _, row in ipairs(rows) do
  local id, owner, deliveries = row[1], row[2], row[4]
  if below_first(id) then
    record_lost(stream, dlq, group, row)
    settle(stream, dlq, group, id)
    lost[#lost + 1] = id
  elseif deliveries >= max_deliveries then
    local outcome = dead_letter(stream, dlq, group, owner, id, deliveries, 'max_deliveries',
      'delivered ' .. deliveries .. ' times and never settled')
    if outcome == 'moved' then dead[#dead + 1] = id
    else for _, value in ipairs({id, owner, deliveries}) do oversize[#oversize + 1] = value end end
  end
end
local next_start = ''
if #rows == page then next_start = '(' .. rows[#rows][1] end
return {next_start, dead, lost, oversize}
