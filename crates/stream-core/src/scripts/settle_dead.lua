-- Moves one entry of this consumer to the dead letters, if it still is this consumer's.
-- KEYS: stream, dead letters
-- ARGV: group, consumer, id, reason, message, then, once 'gone' was replied, number of the payload's values, value…
-- Reply: 'moved', 'not_pending', 'not_owner', 'oversize' or 'gone', and the number of deliveries
-- 'gone', with nothing done: the stream does not hold the payload any more. The consumer that handled it does.
local wrong = check_dead_letters(KEYS[2])
if wrong then return wrong end
local group, consumer, id, reason, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local row = redis.call('XPENDING', KEYS[1], group, id, id, 1)[1]
if not row then return {'not_pending', 0} end
if row[2] ~= consumer then return {'not_owner', 0} end
if not redis.call('XRANGE', KEYS[1], id, id)[1] then
  local values = tonumber(ARGV[6])
  if not values then return {'gone', row[4]} end
  if values > MAX_FIELD_VALUES then return {'oversize', row[4]} end
  if values > 0 then
    local fields = {}
    for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end
    append_dead_letter(KEYS[1], KEYS[2], group, consumer, id, row[4], reason, message, fields)
    settle(KEYS[1], KEYS[2], group, id)
    return {'moved', row[4]}
  end
end
return {dead_letter(KEYS[1], KEYS[2], group, consumer, id, row[4], reason, message), row[4]}
