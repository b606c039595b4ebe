-- Notes the dead letters of a group, or those sent back to it, as entries that the replay leaves out, a page: they were
-- not applied, unless by an earlier redrive, and will go to both generations when a redrive applies them.
-- KEYS: the projection's state, ids that the replay leaves out, redriven ids, dead letters or redrive stream, retention's holds
-- ARGV: epoch, field of the original id, id to go on after, page, the hold's name, its time to live in ms
-- Reply: {'moved'} or {'page', entries of the page, last id of it or '', the newest id ever given}
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'moved'} end
local wrong = check_type({}, KEYS[2], 'set') or check_type({}, KEYS[3], 'zset') or check_type({}, KEYS[5], 'hash')
if wrong then return wrong end
local newest = '0-0'
if redis.call('EXISTS', KEYS[4]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[4])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then newest = info[i + 1] end
  end
end
local page = redis.call('XRANGE', KEYS[4], '(' .. ARGV[3], '+', 'COUNT', ARGV[4])
for _, letter in ipairs(page) do
  local id = original_id(letter[2], ARGV[2])
  if id and not redis.call('ZSCORE', KEYS[3], id) then redis.call('SADD', KEYS[2], id) end
end
redis.call('HSET', KEYS[5], ARGV[5], '0-0 ' .. string.format('%.0f', unix_ms() + tonumber(ARGV[6])))
return {'page', #page, #page > 0 and page[#page][1] or '', newest}
