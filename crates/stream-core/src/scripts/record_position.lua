-- Records the group's low watermark: an ID up to which every entry is settled. It only ever rises.
-- What was applied is forgotten once the position has passed it, but for one thing: an entry that was dead-lettered,
-- delivered again by a recreated group and then applied still has its dead letter, which must not count when it is sent
-- back. So the original ids of dead letters above the position are noted first; those that were applied join the
-- redriven ids when the position passes them.
-- KEYS: stream, position, ids applied above it (see commit.lua), dead letters, redrive stream,
--       ids of dead letters above the position, redriven ids, how far the dead letters have been noted (a hash)
-- ARGV: group   Reply: the recorded position, 1 if there are more dead letters to note before it can rise
local PAGE = 1000
local recorded, wrong = recorded_position(KEYS[2])
if wrong then return wrong end

local position = '0-0'
local oldest = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1)[1]
if oldest then
  -- The entry before the oldest pending one: no arithmetic on IDs is needed.
  local before = redis.call('XREVRANGE', KEYS[1], '(' .. oldest[1], '-', 'COUNT', 1)[1]
  if before then position = before[1] end
else
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields['name'] == ARGV[1] then position = fields['last-delivered-id'] end
  end
end
if not id_less(recorded, position) then return {recorded, 0} end

-- Only projections have ids to forget.
if redis.call('EXISTS', KEYS[3]) == 1 then
  -- Before the position rises: what could not be noted then would be forgotten.
  for key, wanted in pairs({[KEYS[3]] = 'zset', [KEYS[6]] = 'zset', [KEYS[7]] = 'zset', [KEYS[8]] = 'hash'}) do
    local kind = redis.call('TYPE', key)['ok']
    if kind ~= 'none' and kind ~= wanted then
      return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', not a ' .. wanted)
    end
  end
  local pages, more = {}, 0
  for i, name in ipairs({'_dl_id', '_redrive_of'}) do
    local letters = KEYS[3 + i]
    local kind = redis.call('TYPE', letters)['ok']
    if kind ~= 'none' and kind ~= 'stream' then
      return redis.error_reply('WRONGTYPE ' .. letters .. ' is a ' .. kind .. ', not a stream')
    end
    local after = redis.call('HGET', KEYS[8], name) or '0-0'
    local page = redis.call('XRANGE', letters, '(' .. after, '+', 'COUNT', PAGE)
    pages[i] = {name = name, page = page}
    if #page == PAGE then more = 1 end
  end
  for _, each in ipairs(pages) do
    for _, letter in ipairs(each.page) do
      local id = original_id(letter[2], each.name)
      if id and id_less(recorded, id) then redis.call('ZADD', KEYS[6], string.match(id, '^%d+'), id) end
    end
    if #each.page > 0 then redis.call('HSET', KEYS[8], each.name, each.page[#each.page][1]) end
  end
  if more == 1 then return {recorded, 1} end
end

redis.call('SET', KEYS[2], position)
local passed = '(' .. string.match(position, '^%d+')
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', passed)) do
  if redis.call('ZSCORE', KEYS[3], id) then
    local t = redis.call('TIME')
    redis.call('ZADD', KEYS[7], string.format('%.0f', t[1] * 1000), id)
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', passed)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', passed)
return {position, 0}
