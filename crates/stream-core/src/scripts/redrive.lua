-- Sends one dead letter back to the group that failed it, if it still is one: a second call finds nothing.
-- KEYS: dead letters, redrive stream   ARGV: group, the dead letter's own id
-- Reply: {'sent', its id in the redrive stream}, or with nothing done {'absent'}, {'unreadable'}, {'payload_lost'}, {'oversize'}
local dlq, redrive, group, id = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
for _, key in ipairs({dlq, redrive}) do
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'none' and kind ~= 'stream' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', not a stream; delete or rename it')
  end
end
local letter = redis.call('XRANGE', dlq, id, id)[1]
if not letter then return {'absent'} end

local fields = letter[2]
for i, name in ipairs({'_dl_id', '_dl_group', '_dl_consumer', '_dl_deliveries', '_dl_reason', '_dl_error', '_dl_time_ms'}) do
  if fields[2 * i - 1] ~= name then return {'unreadable'} end
end
if not string.match(fields[2], '^%d+%-%d+$') then return {'unreadable'} end
local original, redrives = 15, 0
if fields[15] == '_dl_redrives' then
  redrives = tonumber(string.match(fields[16], '^%d+$'))
  if not redrives then return {'unreadable'} end
  original = 17
end
if fields[original] == nil then return {'payload_lost'} end
if #fields - original >= MAX_FIELD_VALUES then return {'oversize'} end

local entry = {'XADD', redrive, '*', '_redrive_of', fields[2], '_redrive_count', string.format('%.0f', redrives + 1)}
for i = original, #fields do entry[#entry + 1] = fields[i] end

local has_group = false
if redis.call('EXISTS', redrive) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', redrive)) do
    for i = 1, #info, 2 do
      if info[i] == 'name' and info[i + 1] == group then has_group = true end
    end
  end
end
-- A full server refuses the first write, and then nothing has happened. The delete, which cannot fail, is the last.
if not has_group then redis.call('XGROUP', 'CREATE', redrive, group, '0-0', 'MKSTREAM') end
local sent = redis.call(unpack(entry))
redis.call('XDEL', dlq, id)
return {'sent', sent}
