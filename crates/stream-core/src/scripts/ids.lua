-- Shared: the order of stream ids. By their digits, since Lua's numbers are exact only below 2^53.
local function id_less(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  local function fewer(x, y) return #x < #y or (#x == #y and x < y) end
  return fewer(a_ms, b_ms) or (a_ms == b_ms and fewer(a_seq, b_seq))
end

-- A group's recorded position: '0-0' if there is none; nil and an error if the key holds something else.
local function recorded_position(key)
  local text = redis.call('GET', key)
  if not text then return '0-0' end
  if string.match(text, '^%d+$') then return text .. '-0' end
  if string.match(text, '^%d+-%d+$') then return text end
  return nil, redis.error_reply('WRONGTYPE the position ' .. key .. ' is not a stream ID; delete it, or set it to one')
end

-- The entry that a dead letter (`_dl_id`) or an entry of a redrive stream (`_redrive_of`) tells of, or nil.
local function original_id(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return string.match(fields[i + 1], '^%d+%-%d+$') end
  end
end
