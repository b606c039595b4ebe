-- Shared by the retention scripts: the groups of a stream, and hashes that hold something for each of them.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Names and values alternating, as a table.
local function named(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- XINFO GROUPS as a list of tables; empty without a stream.
local function groups_of(stream)
  local groups = {}
  if redis.call('EXISTS', stream) == 0 then return groups end
  for i, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do groups[i] = named(info) end
  return groups
end

-- A hash; nil and an error if the key holds something else.
local function read_hash(key)
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'none' and kind ~= 'hash' then
    return nil, redis.error_reply('WRONGTYPE the retention state ' .. key .. ' is a ' .. kind .. ', not a hash; delete it')
  end
  return named(redis.call('HGETALL', key))
end

-- The first entry after an ID; nothing comes after the greatest.
local MAX_ID = '18446744073709551615-18446744073709551615'
local function entry_after(stream, id)
  if id == MAX_ID then return nil end
  local found = redis.call('XRANGE', stream, '(' .. id, '+', 'COUNT', 1)[1]
  return found and found[1]
end

-- Entries lost to a group so far; what is no number counts as none.
local function lost_so_far(lost, name) return tonumber(lost[name]) or 0 end

-- Deletes the fields of groups that are gone. `prefix`: what stands before the group's name in them.
local function forget_others(key, fields, present, prefix)
  for field in pairs(fields) do
    if string.sub(field, 1, #prefix) == prefix and not present[string.sub(field, #prefix + 1)] then
      redis.call('HDEL', key, field)
    end
  end
end
