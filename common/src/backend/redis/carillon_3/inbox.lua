-- Inbox ------------------------------------------------------------------------------------------

-- Where a cursor stands in the inbox (0-based), if exactly it stands there.
local function index_of(inbox, first, length, cursor)
  local i = seq(cursor) - seq(first)
  if i < 0 or i >= length then return nil end
  local frame = redis.call('LINDEX', inbox, int(i))
  return frame and cursor_of(frame) == cursor and i or nil
end

-- Whether a cursor is of this history: one of another, though its number fits, was never given out.
local function in_chain(inbox, last, cursor)
  if cursor == last then return true end
  local head = redis.call('LINDEX', inbox, 0)
  return head and index_of(inbox, cursor_of(head), redis.call('LLEN', inbox), cursor) ~= nil
end

-- Reads an inbox from an index on.
local function reader(inbox, from)
  return function(shown, most)
    return redis.call('LRANGE', inbox, int(from + shown), int(from + shown + most - 1))
  end
end

-- Shows in an inbox that something was lost, where it is missing: {last, whether it was shown now}.
-- Also to a user of whom nothing is known any more, for as long as an inbox lasts.
local function show_loss(inbox, user, last, shown, history, life_s, now)
  local lost = history.lost
  if lost <= tonumber(shown or 0) or lost + life_s * 1000 < now then return last, false end
  if not last then redis.call('DEL', inbox) end
  local cursor, frame = loss(last and seq(last) + 1 or now, lost, now)
  redis.call('RPUSH', inbox, frame)
  redis.call('HSET', user, 'l', cursor, 'm', int(lost))
  return cursor, true
end

-- A page after a position: {start, gap, end, more, frames}.
local function page(inbox, last, device, after, limit, bytes)
  if not last then
    return { ZERO, (after ~= '' and after ~= ZERO) and 'expired' or '', ZERO, 0, {} }
  end
  if after == last then return { last, '', last, 0, {} } end
  local length = redis.call('LLEN', inbox)
  local head = redis.call('LINDEX', inbox, 0)
  if not head then return { last, 'expired', last, 0, {} } end
  local first = cursor_of(head)

  local own = -1
  if device and device.acked ~= ZERO then
    own = index_of(inbox, first, length, device.acked)
    if device.acked == last then own = length - 1 end
  end
  local at, gap = nil, ''
  if after == '' then
    at = own
    if not at then at, gap = -1, 'expired' end
    if device and has(device, 'm') then gap = 'too_many' end
  elseif after == ZERO then
    at = -1
  else
    at = index_of(inbox, first, length, after)
    if not at then
      local told = device and (has(device, 'a') or has(device, 'm'))
      if seq(after) >= seq(first) then
        gap = 'rewound'
      elseif device and has(device, 'm') then
        gap = 'too_many'
      elseif is_loss(head) then
        gap = 'rewound'
      elseif not (own and own >= 0 and told) then
        gap = 'expired'
      end
      at = own or -1
    end
  end

  local start = ZERO
  if at >= 0 then start = cursor_of(redis.call('LINDEX', inbox, int(at))) end
  local frames = {}
  walk(limit, bytes, reader(inbox, at + 1), function(frame) frames[#frames + 1] = frame end)
  local count = within(frames, bytes)
  for i = #frames, count + 1, -1 do frames[i] = nil end
  local more = at + count < length - 1
  local stop = last
  if more then stop = cursor_of(frames[count]) end
  return { start, gap, stop, more and 1 or 0, frames }
end

-- Trims what every device that counts has acked, less the newest `keep` (at least one: the anchor).
local function trim(inbox, buried, floor, keep)
  keep = math.max(keep, 1)
  local length = redis.call('LLEN', inbox)
  local head = redis.call('LINDEX', inbox, 0)
  if not head then return end
  local first = seq(cursor_of(head))
  local acked = math.min(seq(floor) - first + 1, length)
  if acked > keep then
    redis.call('LTRIM', inbox, int(acked - keep), -1)
    redis.call('ZREMRANGEBYSCORE', buried, '-inf', '(' .. int(first + acked - keep))
  end
end

-- How many frames one send looks at for expired ones, and how many bytes of them: once after the
-- floor, and once in the middle.
local LOOK, LOOK_BYTES = 64, 65536

-- The frames right after the floor that have expired leave, whoever has not read them. Answers the floor
-- then, and whether all that was looked at had expired.
local function drop_expired(inbox, user, buried, devices, floor, first, notes, now)
  local anchor, alive
  walk(LOOK, LOOK_BYTES, reader(inbox, floor + 1 - first), function(frame)
    alive = not expired(frame, now)
    if alive then return true end
    if tombstone(frame) ~= frame then notes[#notes + 1] = note(cursor_of(frame), '*', 'expired', now) end
    anchor = frame
  end)
  if not anchor then return floor, false end
  -- The last of them stays as the anchor of those who stood before it.
  local cursor, moved = cursor_of(anchor), {}
  redis.call('LTRIM', inbox, int(seq(cursor) - first), -1)
  redis.call('LSET', inbox, 0, tombstone(anchor))
  redis.call('ZREMRANGEBYSCORE', buried, '-inf', int(seq(cursor)))
  for _, d in ipairs(devices) do
    if seq(d.acked) < seq(cursor) then
      d.acked = cursor
      moved[#moved + 1] = d
    end
  end
  save_devices(user, moved)
  return seq(cursor), not alive
end

-- Frames in the middle that have expired become tombstones. Each call looks at a piece, from where the
-- one before has come to, and begins anew after the end.
local function bury_expired(inbox, user, buried, floor, last, notes, now)
  local first = seq(cursor_of(redis.call('LINDEX', inbox, 0)))
  local at = tonumber(redis.call('HMGET', user, 's')[1] or 0)
  if at <= floor or at > last then at = floor + 1 end
  local dead = {}
  local function bury(frame)
    if expired(frame, now) and tombstone(frame) ~= frame then dead[#dead + 1] = frame end
  end
  local shown = walk(LOOK, LOOK_BYTES, reader(inbox, at - first), bury)
  local next_at = at + shown
  if next_at > last then
    local rest = math.min(LOOK - shown, at - floor - 1)
    next_at = floor + 1 + walk(rest, LOOK_BYTES, reader(inbox, floor + 1 - first), bury)
  end
  redis.call('HSET', user, 's', int(next_at))
  for _, frame in ipairs(dead) do
    local cursor = cursor_of(frame)
    redis.call('LSET', inbox, int(seq(cursor) - first), tombstone(frame))
    redis.call('ZADD', buried, int(seq(cursor)), int(seq(cursor)))
    notes[#notes + 1] = note(cursor, '*', 'expired', now)
  end
end

-- The oldest frame that still counts is passed over, for every device that has not read it.
local function pass_over(inbox, user, buried, devices, floor, first, keep, notes, now)
  local frame = redis.call('LINDEX', inbox, int(floor + 1 - first))
  local cursor, moved = cursor_of(frame), {}
  for _, d in ipairs(devices) do
    if seq(d.acked) < seq(cursor) then
      d.acked = cursor
      with(d, 'm')
      moved[#moved + 1] = d
      notes[#notes + 1] = note(cursor, d.name, 'dropped', now)
    end
  end
  save_devices(user, moved)
  trim(inbox, buried, cursor, keep)
end

-- Room for one more frame in a full inbox: first what has expired, then the furthest-behind device
-- that is not connected is passed over. False when neither helps.
local function make_room(inbox, user, left, presence, buried, max, keep, devices, last, now)
  local function first() return seq(cursor_of(redis.call('LINDEX', inbox, 0))) end
  local least, floor, goes_on, notes = furthest_behind(devices), first() - 1, false, {}
  if least then floor = math.max(floor, seq(least.acked)) end
  local function fits()
    local dead = redis.call('ZCOUNT', buried, '(' .. int(floor), '+inf')
    -- Tombstones in the middle are small but not free: they may at most double the list.
    return last - floor - dead < max and redis.call('LLEN', inbox) < 2 * max + keep
  end

  floor, goes_on = drop_expired(inbox, user, buried, devices, floor, first(), notes, now)
  if not fits() then bury_expired(inbox, user, buried, floor, last, notes, now) end
  note_left(left, notes)
  -- Where all that was looked at had expired, the next send goes on from there.
  if goes_on or fits() then return true end

  local anyone, live = false, connected(presence)
  for _, d in ipairs(devices) do
    anyone = anyone or has(d, 'a') or has(d, 'm')
    if live[d.name] and seq(d.acked) <= floor then return false end
  end
  if not anyone or floor >= last then return false end
  notes = {}
  pass_over(inbox, user, buried, devices, floor, first(), keep, notes, now)
  note_left(left, notes)
  return true
end

-- Tells each gateway that has connections of the user (`places`).
local function hint(places, gateway_channel, text)
  local told = {}
  for i = 2, #places, 2 do
    local gateway = string.match(places[i], '^[^|]+')
    if not told[gateway] then
      told[gateway] = true
      redis.call('SPUBLISH', gateway_channel .. gateway, text)
    end
  end
end

-- A frame is taken back: what stands there says so to whoever reads on, and keeps the chain whole.
local function take_back(inbox, buried, at, frame)
  local number = int(seq(cursor_of(frame)))
  redis.call('LSET', inbox, int(at), tombstone(frame))
  redis.call('ZADD', buried, number, number)
end

-- Tells those who may have it that a frame was taken back.
local function hint_taken_back(places, gateway_channel, user_name, frame)
  local cursor, id = string.match(frame, '^%d|([^|]*)|([^|]*)|')
  hint(places, gateway_channel, 'T1|' .. cursor .. '|' .. #user_name .. '|' .. user_name .. id)
end

-- What a collapse key stood for before, if that may still be delivered or read: {index, frame}.
local function collapsed(inbox, collapse, key)
  local number, head = redis.call('ZSCORE', collapse, key), redis.call('LINDEX', inbox, 0)
  if not number or not head then return nil end
  local at = tonumber(number) - seq(cursor_of(head))
  if at < 0 then return nil end
  local frame = redis.call('LINDEX', inbox, int(at))
  if not frame or seq(cursor_of(frame)) ~= tonumber(number) or tombstone(frame) == frame or is_loss(frame) then
    return nil
  end
  return at, frame
end

-- Functions that append to an inbox have the same first keys (six: inbox, user, left, presence, buried, collapse) and
-- arguments (seven: user_name, max, keep, most_devices, device_ttl_s, life_s, gateway_channel). What they share takes
-- both as they came: tables of their own would be felt in each send.

-- Room for one more: {whether there is, whether something was changed for it, the frame that its key replaces}.
local function make_way(K, A, last, collapse_key, now)
  if not last then return true, false, nil end
  local inbox, user, left, presence, buried, collapse = unpack(K, 1, 6)
  local replaced
  if collapse_key ~= '' then
    local at
    at, replaced = collapsed(inbox, collapse, collapse_key)
    -- Before there is room for the new one, since it may be what makes room.
    if replaced then take_back(inbox, buried, at, replaced) end
  end
  local _, max, keep, most_devices, device_ttl_s, life_s = unpack(A, 1, 6)
  max = tonumber(max)
  if redis.call('LLEN', inbox) < max then return true, false, replaced end
  local all = all_devices(user)
  local devices = counting(all, presence, tonumber(most_devices), tonumber(device_ttl_s), now)
  -- When none counts any more, those that once did are the ones to be passed over.
  if #devices == 0 then devices = all end
  local least = furthest_behind(devices)
  local floor = seq(cursor_of(redis.call('LINDEX', inbox, 0))) - 1
  if least then floor = math.max(seq(least.acked), floor) end
  if seq(last) - floor < max
    or make_room(inbox, user, left, presence, buried, max, tonumber(keep), devices, seq(last), now) then
    return true, true, replaced
  end
  if replaced then
    -- Where it stands now: making room may have moved everything, and it among what has left. It has made room itself then.
    local number = seq(cursor_of(replaced))
    local at = number - seq(cursor_of(redis.call('LINDEX', inbox, 0)))
    if at <= 0 then return true, true, replaced end
    redis.call('LSET', inbox, int(at), replaced)
    redis.call('ZREMRANGEBYSCORE', buried, int(number), int(number))
  end
  -- What was noted while there was looked for room, though nothing is appended that would renew it.
  redis.call('EXPIRE', buried, life_s)
  redis.call('EXPIRE', left, life_s)
  return false
end

local function frame_of(cursor, id, now, expires, span, body)
  return '1|' .. cursor .. '|' .. id .. '|' .. int(now) .. '|' .. int(expires) .. '|n' .. (span or '') .. '|' .. body
end

-- Appends a frame for which there is room, and tells those who may have it; `renewed` and `fresh`: as for renew.
-- Answers the user's presence.
local function append(K, A, last, cursor, frame, collapse_key, replaced, renewed, fresh, now)
  local inbox, user, left, presence, buried, collapse = unpack(K, 1, 6)
  local user_name, _, _, _, _, life_s, gateway_channel = unpack(A, 1, 7)
  if not last then redis.call('DEL', inbox, collapse) end
  if replaced then note_left(left, { note(cursor_of(replaced), '*', 'replaced', now) }) end
  fresh = redis.call('RPUSH', inbox, frame) == 1 or fresh
  redis.call('HSET', user, 'l', cursor)
  if collapse_key ~= '' then
    redis.call('ZADD', collapse, int(seq(cursor)), collapse_key)
    local first = seq(cursor_of(redis.call('LINDEX', inbox, 0)))
    redis.call('ZREMRANGEBYSCORE', collapse, '-inf', '(' .. int(first))
    fresh = true
  end
  renew(user, renewed, now, fresh, life_s, inbox, left, buried, collapse)

  local places = redis.call('HGETALL', presence)
  if replaced then hint_taken_back(places, gateway_channel, user_name, replaced) end
  hint(places, gateway_channel, 'I1|' .. (last or ZERO) .. '|' .. #user_name .. '|' .. user_name .. frame)
  return places
end

local function send(K, A, history)
  local inbox, user, left, presence, buried, collapse, dedup, former = unpack(K)
  local user_name, max, keep, most_devices, device_ttl_s, life_s, gateway_channel, nonce, id, ttl_ms, hash, dedup_s,
    collapse_key, body, span = unpack(A)
  local ttl, now = tonumber(ttl_ms), now_ms()

  local last, fence, renewed, shown = unpack(redis.call('HMGET', user, 'l', 'f', 'x', 'm'))
  local seen = fence and 1 or 0
  local cursor, fresh = ZERO, false
  if ttl > 0 then
    last, fresh = show_loss(inbox, user, last, shown, history, tonumber(life_s), now)
    cursor = int(last and seq(last) + 1 or now) .. '-' .. nonce
  end
  local before = remember(dedup, former, cursor, hash, dedup_s)
  if before and fresh then renew(user, renewed, now, true, life_s, inbox) end
  if before then return { before[1], before[2], redis.call('HGETALL', presence), seen } end
  if ttl == 0 then
    -- It expires by the socket it does not find; the time only keeps the frame whole.
    local frame, places = frame_of(ZERO, id, now, now + 60000, span, body), redis.call('HGETALL', presence)
    hint(places, gateway_channel, 'F1|' .. ZERO .. '|' .. #user_name .. '|' .. user_name .. frame)
    return { 'ok', ZERO, places, seen }
  end
  local room, changed, replaced = make_way(K, A, last, collapse_key, now)
  if not room then
    unremember(dedup, former, cursor, hash)
    return { 'full' }
  end
  accept(history)
  local frame = frame_of(cursor, id, now, now + ttl, span, body)
  return { 'ok', cursor, append(K, A, last, cursor, frame, collapse_key, replaced, renewed, fresh or changed, now), seen }
end
redis.register_function('c3_send', believed(send))

-- `device`: ~ for an anonymous one.
local function read(K, A, history)
  local user, inbox = unpack(K)
  local device, after, limit, bytes, life_s = unpack(A)
  local now, record = now_ms(), nil

  local last, renewed, shown = unpack(redis.call('HMGET', user, 'l', 'x', 'm'))
  local fresh
  last, fresh = show_loss(inbox, user, last, shown, history, tonumber(life_s), now)
  renew(user, renewed, now, fresh, life_s, inbox)
  if device == '~' then
    record = least_anonymous(all_devices(user))
  else
    record = load_device(user, device)
  end
  return page(inbox, last, record, after, tonumber(limit), tonumber(bytes))
end
redis.register_function('c3_read', believed(read))

local function ack(K, A)
  local user, inbox, left, presence, buried, marks = unpack(K)
  local device, cursor, broadcast, keep, most_devices, device_ttl_s, life_s = unpack(A, 1, 7)
  local undelivered = rest(A, 7)

  local last, renewed, known = unpack(redis.call('HMGET', user, 'l', 'x', 'd:' .. device))
  if not known then return 0 end
  local now, record = now_ms(), parse_device(known)
  record.seen = math.floor(now / 1000)
  if broadcast ~= '' and seq(broadcast) > seq(record.broadcast) then record.broadcast = broadcast end
  local forward = last and seq(cursor) > seq(record.acked) and in_chain(inbox, last, cursor)
  if forward then
    local notes = {}
    for i, gone in ipairs(undelivered) do notes[i] = note(gone, device, 'expired', now) end
    note_left(left, notes)
    record.acked = cursor
    with(record, 'a')
    without(record, 'm')
  end
  save_device(user, device, record)
  if not forward then return 0 end
  local fresh = mark(marks, device, seq(cursor), now) or #undelivered > 0
  local devices = counting(all_devices(user), presence, tonumber(most_devices), tonumber(device_ttl_s), now)
  local least = furthest_behind(devices)
  if least then trim(inbox, buried, least.acked, tonumber(keep)) end
  renew(user, renewed, now, fresh, life_s, inbox, left, marks)
  return 1
end
redis.register_function('c3_ack', believed(ack))

