-- Shared by every script that settles entries: how a dead letter is written, and what settling an entry means.
-- `unpack` holds some 7,990 values; an entry with more fields than this is the caller's to move (see "oversize").
local MAX_FIELD_VALUES = 7000

local function now_ms()
  local t = redis.call('TIME')
  return string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
end

-- Fails before the first write if the dead letters' key holds something else.
local function check_dead_letters(dlq)
  local kind = redis.call('TYPE', dlq)['ok']
  if kind ~= 'none' and kind ~= 'stream' then
    return redis.error_reply('WRONGTYPE the dead letters ' .. dlq .. ' are a ' .. kind .. ', not a stream')
  end
end

-- Whether a stream is the one of what was sent back to the group: it is named as the dead letters are.
local function is_redrive(stream, dlq, group)
  local suffix = ':dlq:' .. group
  return stream == string.sub(dlq, 1, #dlq - #suffix) .. ':redrive:' .. group
end

-- Settles one pending entry: nobody else reads a redrive stream, so what is settled there is deleted.
local function settle(stream, dlq, group, id)
  redis.call('XACK', stream, group, id)
  if is_redrive(stream, dlq, group) then redis.call('XDEL', stream, id) end
end

-- Appends one dead letter: its story first, then the original fields as they were. A redriven entry begins with the
-- original's id and how often it was redriven: that goes into the story.
local function append_dead_letter(stream, dlq, group, consumer, id, deliveries, reason, message, fields)
  local redrives, first = 0, 1
  if fields[1] == '_redrive_of' and fields[3] == '_redrive_count' and is_redrive(stream, dlq, group) then
    id, redrives, first = fields[2], tonumber(fields[4]) or 0, 5
  end
  local letter = {'XADD', dlq, '*', '_dl_id', id, '_dl_group', group, '_dl_consumer', consumer,
    '_dl_deliveries', deliveries, '_dl_reason', reason, '_dl_error', message, '_dl_time_ms', now_ms()}
  -- An entry's own first field of that name would pass for it.
  if redrives > 0 or fields[first] == '_dl_redrives' then
    letter[#letter + 1] = '_dl_redrives'
    letter[#letter + 1] = redrives > 0 and fields[4] or '0'
  end
  for i = first, #fields do letter[#letter + 1] = fields[i] end
  redis.call(unpack(letter))
end

-- Moves one pending entry to the dead letters: 'moved', or 'oversize' with nothing done.
-- The append comes first: it is what a full server refuses, and then nothing has happened.
local function dead_letter(stream, dlq, group, consumer, id, deliveries, reason, message)
  local found = redis.call('XRANGE', stream, id, id)
  local fields = {}
  if found[1] then
    fields = found[1][2]
    if #fields > MAX_FIELD_VALUES then return 'oversize' end
  else
    reason = 'payload_lost'
    message = 'retention or XDEL removed the entry while it was pending; before that: ' .. message
  end
  append_dead_letter(stream, dlq, group, consumer, id, deliveries, reason, message, fields)
  settle(stream, dlq, group, id)
  return 'moved'
end

-- Records a row whose payload is gone. Of a redriven entry the original's id went with it.
local function record_lost(stream, dlq, group, row)
  local message = 'retention or XDEL removed the entry while it was pending'
  if is_redrive(stream, dlq, group) then
    message = 'the entry was removed from ' .. stream .. ' while it was pending; its original ID is lost with it'
  end
  append_dead_letter(stream, dlq, group, row[2], row[1], row[4], 'payload_lost', message, {})
end

local CLAIM_IDS_MAX = 5000 -- well below what `unpack` holds

-- Gives rows (as XPENDING lists them) to a consumer without counting a delivery: XCLAIM … `options` JUSTID.
-- XCLAIM purges rows whose payload is gone and does not return them: those are recorded, this is their only trace.
-- Returns the number claimed and the lost ids.
local function claim_rows(stream, dlq, group, consumer, rows, options)
  local claimed, lost = 0, {}
  for first = 1, #rows, CLAIM_IDS_MAX do
    local last = math.min(first + CLAIM_IDS_MAX - 1, #rows)
    local claim, done = {'XCLAIM', stream, group, consumer, 0}, {}
    for i = first, last do claim[#claim + 1] = rows[i][1] end
    for _, option in ipairs(options) do claim[#claim + 1] = option end
    claim[#claim + 1] = 'JUSTID'
    for _, id in ipairs(redis.call(unpack(claim))) do
      done[id] = true
      claimed = claimed + 1
    end
    for i = first, last do
      if not done[rows[i][1]] then
        record_lost(stream, dlq, group, rows[i])
        lost[#lost + 1] = rows[i][1]
      end
    end
  end
  return claimed, lost
end
