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

-- How many of these frames make a page of so many bytes: at least one.
local function within(frames, bytes)
  local sum = 0
  for i, frame in ipairs(frames) do
    sum = sum + #frame
    if sum > bytes and i > 1 then return i - 1 end
  end
  return #frames
end

-- Shows `visit` what `read(shown, most)` has, a few at a time: so many or so many bytes, or until `visit`
-- says that it is enough. Answers how much it has shown.
local function walk(count, bytes, read, visit)
  local shown, size, piece = 0, 0, 4
  while shown < count and size < bytes do
    local most = math.min(piece, count - shown)
    local frames = read(shown, most)
    for _, frame in ipairs(frames) do
      shown, size = shown + 1, size + #frame
      if visit(frame) or size >= bytes then return shown end
    end
    if #frames < most then break end
    -- As many as will fill the rest, going by their size so far.
    piece = math.max(1, math.min(64, math.floor((bytes - size) * shown / size)))
  end
  return shown
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

local function is_loss(frame) return string.find(frame, '^%d|[^|]*|[^|]*|[^|]*|%d+|t|.') ~= nil end

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
local function make_room(K, max, keep, devices, last, now)
  local inbox, user, left, presence, buried = K[1], K[2], K[3], K[4], K[6]
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

-- KEYS inbox user left presence dedup buried [former dedup]
-- ARGV user id nonce ttl_ms max keep most_devices device_ttl_s life_s gateway_channel hash dedup_s body
--      [span]
local function send(K, A, history)
  local now = now_ms()
  local known = redis.call('HMGET', K[2], 'l', 'f', 'x', 'm')
  local last, seen = known[1], known[2] and 1 or 0
  local ttl = tonumber(A[4])
  local cursor, prev, fresh = ZERO, ZERO, false
  if ttl > 0 then
    last, fresh = show_loss(K[1], K[2], last, known[4], history, tonumber(A[9]), now)
    prev = last or ZERO
    cursor = int(last and seq(last) + 1 or now) .. '-' .. A[3]
  end
  local before = remember(K[5], K[7], cursor, A[11], A[12])
  if before then return { before[1], before[2], redis.call('HGETALL', K[4]), seen } end
  if ttl > 0 then
    if last and redis.call('LLEN', K[1]) >= tonumber(A[5]) then
      local all = all_devices(K[2])
      local devices = counting(all, K[4], tonumber(A[7]), tonumber(A[8]), now)
      -- When none counts any more, those that once did are the ones to be passed over.
      if #devices == 0 then devices = all end
      local least = furthest_behind(devices)
      local head = redis.call('LINDEX', K[1], 0)
      local floor = least and math.max(seq(least.acked), seq(cursor_of(head)) - 1) or seq(cursor_of(head)) - 1
      if seq(last) - floor >= tonumber(A[5])
        and not make_room(K, tonumber(A[5]), tonumber(A[6]), devices, seq(last), now) then
        unremember(K[5], K[7], cursor, A[11])
        return { 'full' }
      end
      fresh = true
    end
    if not last then redis.call('DEL', K[1]) end
    accept(history)
  end
  -- A fleeting one expires by the socket it does not find; the time only keeps the frame whole.
  local expires = now + (ttl > 0 and ttl or 60000)
  local frame = '1|' .. cursor .. '|' .. A[2] .. '|' .. int(now) .. '|' .. int(expires)
    .. '|n' .. (A[14] or '') .. '|' .. A[13]
  if ttl > 0 then
    fresh = redis.call('RPUSH', K[1], frame) == 1 or fresh
    redis.call('HSET', K[2], 'l', cursor)
    renew(K[2], known[3], now, fresh, A[9], K[1], K[3], K[6])
  end

  local places = redis.call('HGETALL', K[4])
  local hint = (ttl > 0 and 'I1|' or 'F1|') .. prev .. '|' .. #A[1] .. '|' .. A[1] .. frame
  local told = {}
  for i = 2, #places, 2 do
    local gateway = string.match(places[i], '^[^|]+')
    if not told[gateway] then
      told[gateway] = true
      redis.call('SPUBLISH', A[10] .. gateway, hint)
    end
  end
  return { 'ok', cursor, places, seen }
end

