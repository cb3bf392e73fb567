#!lua name=carillon_2
-- The delivery protocol, version 2. Every function touches the keys of one partition only (one
-- hash tag, so one slot) and runs atomically. A change of arguments or layout is carillon_3 beside
-- this one; nothing here is changed in place once released. Frames and hints start with the version of
-- their layout: 1 is written, and a later one whose head is the same is passed on (version.rs).
--
-- cursor    seq-nonce           frame   1|cursor|id|stored|expires|flag|body   (flag n, or t: tombstone;
--           a tombstone with a body is a loss: what stood here is gone, and whoever reads it is told)
-- history   of a partition:     i  id   n  how much was accepted under it   m  ms of its last loss
-- user hash l  last cursor      f       highest fence: it is there once the user has ever connected
--           x  hour of the last renewal       m  the last loss that the inbox shows
--           d:<device>          acked|seen (s)|broadcast|flags   (flags: a has acked, m moved by a full inbox)
--           <device>            =name, ~session (an anonymous connection), ~ (those that ended, folded)
-- presence  <device>/<session>  gateway|generation|fence|opened  (device of an anonymous one: ~)
-- end       cursor|ms: where a channel's log stood, which outlives the log
-- subs      d/<device>/<channel> cursor       r/<session>/<channel> cursor|ms when freed, 0 while held
--           u/<channel>         ms when a client last asked for it

local ZERO = '0-0'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(n) return string.format('%.0f', n) end
local function seq(cursor) return tonumber(string.match(cursor, '^%d+')) end
local function cursor_of(frame) return string.match(frame, '^%d|(%d+%-%d+)|') end

local function tombstone(frame)
  local head = string.match(frame, '^(%d|[^|]*|[^|]*|[^|]*|[^|]*|)')
  return head .. 't|'
end

-- A loss never expires: it is owed to whoever has not read it.
local function expired(frame, now)
  local expires, flag, body = string.match(frame, '^%d|[^|]*|[^|]*|[^|]*|(%d+)|(%a)|(.?)')
  if flag == 't' then return body == '' end
  return tonumber(expires) <= now
end

-- Histories --------------------------------------------------------------------------------------

-- A node that came back empty or with older data, or that others have left behind, is not believed:
-- a caller says which history it knows (its id, and how much was accepted under it at least), and
-- where another is served, nothing is read, written or trimmed. It settles that first.
-- KEYS … history   ARGV … id accepted
local function believed(call)
  return function(K, A)
    local key, accepted, id = table.remove(K), tonumber(table.remove(A)), table.remove(A)
    local here = redis.call('HMGET', key, 'i', 'n', 'm')
    if here[1] ~= id or tonumber(here[2]) < accepted then return { 'elsewhere' } end
    local history = { key = key, accepted = tonumber(here[2]), lost = tonumber(here[3] or 0) }
    local answer = call(K, A, history)
    return { 'here', int(history.accepted), answer }
  end
end

local function accept(history)
  history.accepted = redis.call('HINCRBY', history.key, 'n', 1)
end

-- What stands where something was lost. The time makes its cursor one that no other entry has.
local function loss(seq_, lost, now)
  local cursor = int(seq_) .. '-' .. int(lost % 4294967295 + 1)
  local nobody = '00000000-0000-0000-0000-000000000000'
  return cursor, '1|' .. cursor .. '|' .. nobody .. '|' .. int(now) .. '|9007199254740991|t|lost'
end

-- Says which history is here, and marks it when it is not the one that the caller knows, nor one that
-- was marked since: {what, id, accepted, lost, missing}, what being same, marked or rewound. It always
-- writes, so that a WAIT that follows covers all that was accepted before.
-- KEYS history | ARGV known_id known_accepted known_lost fresh_id
local function settle(K, A)
  local here = redis.call('HMGET', K[1], 'i', 'n', 'm')
  local id, accepted, lost = here[1], tonumber(here[2] or 0), tonumber(here[3] or 0)
  local known, known_accepted, known_lost = A[1], tonumber(A[2]), tonumber(A[3])
  local what, missing = 'same', 0
  if known == '' then
    id = id or A[4]
  elseif id ~= known and id and lost > known_lost then
    what = 'marked'
  elseif id ~= known or accepted < known_accepted then
    what, missing = 'rewound', known_accepted - (id == known and accepted or 0)
    id, accepted = A[4], math.max(accepted, known_accepted)
    lost = math.max(now_ms(), known_lost + 1, lost + 1)
    redis.call('HSET', K[1], 'm', int(lost))
  end
  redis.call('HSET', K[1], 'i', id, 'n', int(accepted))
  return { what, id, int(accepted), int(lost), int(missing) }
end

-- Device records ---------------------------------------------------------------------------------

local function parse_device(value)
  local acked, seen, broadcast, flags = string.match(value, '^(%d+%-%d+)|(%d+)|(%d+%-%d+)|(%a*)$')
  return { acked = acked, seen = tonumber(seen), broadcast = broadcast, flags = flags }
end

local function load_device(user, name)
  local value = redis.call('HGET', user, 'd:' .. name)
  return value and parse_device(value)
end

-- At most 64 bytes, so that the hash stays a listpack.
local function pack_device(d)
  return d.acked .. '|' .. int(d.seen) .. '|' .. d.broadcast .. '|' .. d.flags
end

local function save_device(user, name, d) redis.call('HSET', user, 'd:' .. name, pack_device(d)) end

local function all_devices(user)
  local all, fields = {}, redis.call('HGETALL', user)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'd:' then
      local d = parse_device(fields[i + 1])
      d.name = string.sub(fields[i], 3)
      all[#all + 1] = d
    end
  end
  return all
end

local function has(d, flag) return string.find(d.flags, flag, 1, true) ~= nil end
local function with(d, flag) if not has(d, flag) then d.flags = d.flags .. flag end end
local function without(d, flag) d.flags = string.gsub(d.flags, flag, '') end

-- The devices that are connected, as a set of record names.
local function connected(presence)
  local set = {}
  for _, field in ipairs(redis.call('HKEYS', presence)) do
    local device, session = string.match(field, '^(.-)/([^/]*)$')
    set[device == '~' and '~' .. session or device] = true
  end
  return set
end

-- The devices that hold trimming back: the most recently seen ones, each for a while.
local function counting(all, presence, most, ttl_s, now)
  local live, kept = nil, {}
  for _, d in ipairs(all) do
    local recent = d.seen + ttl_s >= now / 1000
    if not recent then
      live = live or connected(presence)
      recent = live[d.name]
    end
    if recent then kept[#kept + 1] = d end
  end
  if #kept > most then
    table.sort(kept, function(a, b) return a.seen > b.seen end)
    for i = #kept, most + 1, -1 do kept[i] = nil end
  end
  return kept
end

local function furthest_behind(devices)
  local least
  for _, d in ipairs(devices) do
    if not least or seq(d.acked) < seq(least.acked) then least = d end
  end
  return least
end

local function note_left(left, cursor, device, reason, now)
  redis.call('RPUSH', left, cursor .. '|' .. device .. '|' .. reason .. '|' .. int(now))
  redis.call('LTRIM', left, -256, -1)
end

-- A user's keys live on with every use. Once an hour is enough, as they live a day longer than what
-- they hold; but a key that has just come into being has no life of its own yet (`fresh`).
local function renew(user, renewed, now, fresh, life, ...)
  local hour = int(math.floor(now / 3600000))
  if renewed == hour and not fresh then return end
  redis.call('HSET', user, 'x', hour)
  redis.call('EXPIRE', user, life)
  for _, key in ipairs({ ... }) do redis.call('EXPIRE', key, life) end
end

-- Remembers what an idempotency key stands for, or answers what it stood for before.
local function remember(dedup, cursor, hash, seconds)
  local before = redis.call('SET', dedup, cursor .. '|' .. hash, 'NX', 'GET', 'EX', seconds)
  if not before then return nil end
  -- A write, so that a WAIT that follows covers the first attempt too.
  redis.call('EXPIRE', dedup, seconds)
  local accepted, of = string.match(before, '^(%d+%-%d+)|(.*)$')
  if of ~= hash then return { 'mismatch' } end
  return { 'repeated', accepted }
end

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
  local frames = redis.call('LRANGE', inbox, int(at + 1), int(at + limit))
  local count = within(frames, bytes)
  for i = #frames, count + 1, -1 do frames[i] = nil end
  local more = at + count < length - 1
  local stop = last
  if more then stop = cursor_of(frames[count]) end
  return { start, gap, stop, more and 1 or 0, frames }
end

-- Trims what every device that counts has acked, less the newest `keep` (at least one: the anchor).
local function trim(inbox, floor, keep)
  keep = math.max(keep, 1)
  local length = redis.call('LLEN', inbox)
  local head = redis.call('LINDEX', inbox, 0)
  if not head then return end
  local acked = math.min(seq(floor) - seq(cursor_of(head)) + 1, length)
  if acked > keep then redis.call('LTRIM', inbox, int(acked - keep), -1) end
end

-- Room for one more frame in a full inbox: first what has expired, then the furthest-behind device
-- that is not connected is passed over. False when neither helps.
local function make_room(K, A, devices, now)
  local inbox, user, left, presence = K[1], K[2], K[3], K[4]
  local most, keep = tonumber(A.max), tonumber(A.keep)
  local frames = redis.call('LRANGE', inbox, 0, -1)
  local base = seq(cursor_of(frames[1]))
  local least = furthest_behind(devices)
  local floor = least and seq(least.acked) or base - 1
  local unread, run = 0, true
  local run_end
  for i, frame in ipairs(frames) do
    local at = base + i - 1
    if at > floor then
      if expired(frame, now) then
        local dead = tombstone(frame)
        if dead ~= frame then
          local cursor = cursor_of(frame)
          redis.call('LSET', inbox, int(i - 1), dead)
          local behind = false
          for _, d in ipairs(devices) do
            if seq(d.acked) < at then note_left(left, cursor, d.name, 'expired', now); behind = true end
          end
          if not behind then note_left(left, cursor, '*', 'expired', now) end
        end
        if run then run_end = i end
      else
        run = false
        unread = unread + 1
      end
    end
  end
  if run_end then
    -- The last of the run stays as the anchor of those who stood before it.
    local anchor = cursor_of(frames[run_end])
    for _, d in ipairs(devices) do
      if seq(d.acked) < seq(anchor) then d.acked = anchor; save_device(user, d.name, d) end
    end
    if run_end > 1 then redis.call('LTRIM', inbox, run_end - 1, -1) end
  end
  -- Tombstones in the middle are small but not free: they may at most double the list.
  if unread < most and redis.call('LLEN', inbox) < 2 * most + keep then return true end

  local anyone = false
  for _, d in ipairs(devices) do anyone = anyone or has(d, 'a') or has(d, 'm') end
  if not anyone then return false end
  local live = connected(presence)
  for _, d in ipairs(devices) do
    if live[d.name] and seq(d.acked) == seq(furthest_behind(devices).acked) then return false end
  end
  -- Pass over the oldest frame that still counts, for every device that has not read it.
  least = furthest_behind(devices)
  local length = redis.call('LLEN', inbox)
  local first = seq(cursor_of(redis.call('LINDEX', inbox, 0)))
  for i = math.max(seq(least.acked) - first + 1, 0), length - 1 do
    local frame = redis.call('LINDEX', inbox, int(i))
    if not expired(frame, now) then
      local cursor = cursor_of(frame)
      for _, d in ipairs(devices) do
        if seq(d.acked) < seq(cursor) then
          d.acked = cursor
          with(d, 'm')
          save_device(user, d.name, d)
          note_left(left, cursor, d.name, 'dropped', now)
        end
      end
      trim(inbox, cursor, keep)
      return true
    end
  end
  return false
end

-- KEYS inbox user left presence dedup
-- ARGV user id nonce ttl_ms max keep most_devices device_ttl_s life_s gateway_channel hash dedup_s body
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
  local before = remember(K[5], cursor, A[11], A[12])
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
        and not make_room(K, { max = A[5], keep = A[6] }, devices, now) then
        redis.call('DEL', K[5])
        return { 'full' }
      end
      fresh = true
    end
    if not last then redis.call('DEL', K[1]) end
    accept(history)
  end
  -- A fleeting one expires by the socket it does not find; the time only keeps the frame whole.
  local expires = now + (ttl > 0 and ttl or 60000)
  local frame = '1|' .. cursor .. '|' .. A[2] .. '|' .. int(now) .. '|' .. int(expires) .. '|n|' .. A[13]
  if ttl > 0 then
    fresh = redis.call('RPUSH', K[1], frame) == 1 or fresh
    redis.call('HSET', K[2], 'l', cursor)
    renew(K[2], known[3], now, fresh, A[9], K[1], K[3])
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

-- Connections ------------------------------------------------------------------------------------

-- The least of the anonymous connections' records, ended ones included.
local function least_anonymous(all)
  local least
  for _, d in ipairs(all) do
    if string.sub(d.name, 1, 1) == '~' and (not least or seq(d.acked) < seq(least.acked)) then least = d end
  end
  return least
end

-- The record a device without one starts with.
local function new_device(all, name, broadcast)
  local d = { acked = ZERO, seen = 0, broadcast = broadcast, flags = '' }
  for _, other in ipairs(all) do
    if seq(other.acked) > seq(d.acked) then d.acked = other.acked end
  end
  if string.sub(name, 1, 1) == '~' then
    -- Anonymous connections share one device: at least once, so from the least of them.
    local least = least_anonymous(all)
    if least then d.acked, d.flags = least.acked, least.flags end
    for _, other in ipairs(all) do
      if string.sub(other.name, 1, 1) == '~' and seq(other.broadcast) < seq(d.broadcast) then
        d.broadcast = other.broadcast
      end
    end
  end
  return d
end

-- When clients last asked for each channel, of the fields and values of subs.
local function uses(subs)
  local used = {}
  for i = 1, #subs, 2 do
    local channel = string.match(subs[i], '^u/(.*)$')
    if channel then used[channel] = tonumber(subs[i + 1]) end
  end
  return used
end

-- These channels and their cursors, those asked for last first.
local function by_use(cursors, used)
  local channels, flat = {}, {}
  for channel in pairs(cursors) do channels[#channels + 1] = channel end
  table.sort(channels, function(a, b)
    local one, other = used[a] or 0, used[b] or 0
    if one ~= other then return one > other end
    return a < b
  end)
  for _, channel in ipairs(channels) do
    flat[#flat + 1] = channel
    flat[#flat + 1] = cursors[channel]
  end
  return flat
end

-- KEYS presence online user inbox left sessions subs
-- ARGV user field device session gateway generation fence since broadcast limit life_s gateway_channel
--      bytes opened together_ms
local function connect(K, A, history)
  local now = now_ms()
  local old = redis.call('HGET', K[1], A[2])
  local old_gateway, old_fence, old_opened
  if old then old_gateway, old_fence, old_opened = string.match(old, '^([^|]+)|%d+|(%d+)|(%d+)') end
  local known = redis.call('HMGET', K[3], 'l', 'f', 'x', 'd:' .. A[3], 'm')
  local fence, highest = A[7], known[2]
  if fence == '' then
    if old and tonumber(old_opened) > tonumber(A[14]) + tonumber(A[15]) then return { 'replaced' } end
    fence = int(math.max(now, tonumber(highest or 0) + 1))
    highest = fence
  elseif old and tonumber(old_fence) > tonumber(fence) then
    return { 'replaced' }
  end
  redis.call('HSET', K[1], A[2], A[5] .. '|' .. A[6] .. '|' .. fence .. '|' .. A[14])
  redis.call('SADD', K[2], A[1])
  redis.call('SADD', K[6], A[1])
  if old and old_fence ~= fence then
    redis.call('SPUBLISH', A[12] .. old_gateway, 'R1|' .. fence .. '|' .. #A[1] .. '|' .. A[1] .. A[4])
  end

  local last, shown = show_loss(K[4], K[3], known[1], known[5], history, tonumber(A[11]), now)
  local device, stranger = known[4] and parse_device(known[4]), not known[4]
  if not device then
    device = new_device(all_devices(K[3]), A[3], A[9])
    if string.sub(A[3], 1, 1) == '~' then redis.call('HDEL', K[3], 'd:~') end
  end
  device.seen = math.floor(now / 1000)
  redis.call('HSET', K[3], 'f', highest or fence, 'd:' .. A[3], pack_device(device))
  renew(K[3], known[3], now, shown, A[11], K[4], K[5], K[7])

  local durable, claimable, prefix = {}, 0, 'd/' .. (string.sub(A[3], 1, 1) == '~' and '~' or A[3]) .. '/'
  local goes_on, own = A[7] ~= '' and (not old or old_fence == fence), 'r/' .. A[4] .. '/'
  local subs = redis.call('HGETALL', K[7])
  for i = 1, #subs, 2 do
    if string.sub(subs[i], 1, #prefix) == prefix then
      durable[string.sub(subs[i], #prefix + 1)] = subs[i + 1]
    elseif string.sub(subs[i], 1, 2) == 'r/' then
      claimable = 1
      -- A session that was reaped and goes on after all: what nobody has claimed is its own again.
      if goes_on and string.sub(subs[i], 1, #own) == own then
        redis.call('HSET', K[7], subs[i], string.match(subs[i + 1], '^[^|]+') .. '|0')
      end
    end
  end
  local first = page(K[4], last, device, A[8], tonumber(A[10]), tonumber(A[13]))
  -- A device of which nothing is known may have been known before the loss.
  if stranger and first[2] == '' and history.lost > 0 and history.lost + tonumber(A[11]) * 1000 >= now then
    first[2] = 'rewound'
  end
  return { 'ok', fence, device.broadcast, first, by_use(durable, uses(subs)), claimable }
end

-- KEYS user inbox | ARGV device (~ for an anonymous one) after limit bytes life_s
local function read(K, A, history)
  local now, device = now_ms(), nil
  local known = redis.call('HMGET', K[1], 'l', 'x', 'm')
  local last, shown = show_loss(K[2], K[1], known[1], known[3], history, tonumber(A[5]), now)
  renew(K[1], known[2], now, shown, A[5], K[2])
  if A[1] == '~' then
    device = least_anonymous(all_devices(K[1]))
  else
    device = load_device(K[1], A[1])
  end
  return page(K[2], last, device, A[2], tonumber(A[3]), tonumber(A[4]))
end

-- KEYS user inbox left presence
-- ARGV device cursor broadcast keep most_devices device_ttl_s life_s expired...
local function ack(K, A)
  local known = redis.call('HMGET', K[1], 'l', 'x', 'd:' .. A[1])
  if not known[3] then return 0 end
  local last, device = known[1], parse_device(known[3])
  local now = now_ms()
  device.seen = math.floor(now / 1000)
  if A[3] ~= '' and seq(A[3]) > seq(device.broadcast) then device.broadcast = A[3] end
  local forward = last and seq(A[2]) > seq(device.acked) and in_chain(K[2], last, A[2])
  if forward then
    for i = 8, #A do note_left(K[3], A[i], A[1], 'expired', now) end
    device.acked = A[2]
    with(device, 'a')
    without(device, 'm')
  end
  save_device(K[1], A[1], device)
  if not forward then return 0 end
  local devices = counting(all_devices(K[1]), K[4], tonumber(A[5]), tonumber(A[6]), now)
  local least = furthest_behind(devices)
  if least then trim(K[2], least.acked, tonumber(A[4])) end
  renew(K[1], known[2], now, #A > 7, A[7], K[2], K[3])
  return 1
end

-- A gateway's generation (`place`) forgets a user of whom it has no connection any more.
local function forget(places, sessions, user_name, place)
  for _, other in ipairs(places) do
    if string.sub(other, 1, #place) == place then return end
  end
  redis.call('SREM', sessions, user_name)
end

-- What a connection leaves when it ends. `freed`: channel → cursor, or nil to forget them all.
local function depart(presence, online, user, sessions, subs, user_name, field, place, broadcast, freed)
  local now = now_ms()
  local device, session = string.match(field, '^(.-)/([^/]*)$')
  redis.call('HDEL', presence, field)
  local rest = redis.call('HVALS', presence)
  if #rest == 0 then redis.call('SREM', online, user_name) end
  forget(rest, sessions, user_name, place)

  local name = device == '~' and '~' .. session or device
  local d = load_device(user, name)
  if d then
    d.seen = math.floor(now / 1000)
    if broadcast ~= '' and seq(broadcast) > seq(d.broadcast) then d.broadcast = broadcast end
    if device == '~' then
      local folded = load_device(user, '~')
      if folded then
        if seq(folded.acked) < seq(d.acked) then d.acked = folded.acked end
        if seq(folded.broadcast) < seq(d.broadcast) then d.broadcast = folded.broadcast end
        if has(folded, 'm') then with(d, 'm') end
      end
      redis.call('HDEL', user, 'd:' .. name)
      name = '~'
    end
    save_device(user, name, d)
  end

  local prefix = 'r/' .. session .. '/'
  for _, sub in ipairs(redis.call('HKEYS', subs)) do
    if string.sub(sub, 1, #prefix) == prefix then
      if freed then
        local cursor = freed[string.sub(sub, #prefix + 1)]
          or string.match(redis.call('HGET', subs, sub), '^[^|]+')
        redis.call('HSET', subs, sub, cursor .. '|' .. int(now))
      else
        redis.call('HDEL', subs, sub, 'u/' .. string.sub(sub, #prefix + 1))
      end
    end
  end
end

-- KEYS presence online user sessions subs
-- ARGV user field fence broadcast clean place (channel cursor)...
local function disconnect(K, A)
  local value = redis.call('HGET', K[1], A[2])
  if not value or string.match(value, '^[^|]+|%d+|(%d+)|') ~= A[3] then
    -- The session goes on elsewhere, and is counted there.
    forget(redis.call('HVALS', K[1]), K[4], A[1], A[6])
    return 0
  end
  local freed = nil
  if A[5] ~= '1' then
    freed = {}
    for i = 7, #A, 2 do freed[A[i]] = A[i + 1] end
  end
  depart(K[1], K[2], K[3], K[4], K[5], A[1], A[2], A[6], A[4], freed)
  return 1
end

-- Ends a user's connections of one generation of one gateway, except those whose fence is held.
-- KEYS presence online user sessions subs | ARGV user gateway generation held...
local function reap(K, A)
  local place, held, count, left = A[2] .. '|' .. A[3] .. '|', {}, 0, false
  for i = 4, #A do held[A[i]] = true end
  local all = redis.call('HGETALL', K[1])
  for i = 1, #all, 2 do
    if string.sub(all[i + 1], 1, #place) == place then
      if held[string.match(all[i + 1], '^%d+', #place + 1)] then
        left = true
      else
        depart(K[1], K[2], K[3], K[4], K[5], A[1], all[i], place, '', {})
        count = count + 1
      end
    end
  end
  if not left then redis.call('SREM', K[4], A[1]) end
  return count
end

-- KEYS subs | ARGV session restore_ms life_s
local function claim(K, A)
  local now, mine, others, gone = now_ms(), {}, 0, {}
  local all = redis.call('HGETALL', K[1])
  for i = 1, #all, 2 do
    local session, channel = string.match(all[i], '^r/([^/]*)/(.*)$')
    if session then
      local cursor, freed = string.match(all[i + 1], '^([^|]+)|(%d+)$')
      if session == A[1] then
        -- Its own, of the connection that this one took over.
        mine[channel] = cursor
      elseif freed == '0' then
        others = 1
      else
        redis.call('HDEL', K[1], all[i])
        gone[channel] = true
        if tonumber(freed) + tonumber(A[2]) >= now then
          local known = mine[channel]
          if not known or seq(cursor) < seq(known) then mine[channel] = cursor end
        end
      end
    end
  end
  local reply = by_use(mine, uses(all))
  for channel, cursor in pairs(mine) do
    redis.call('HSET', K[1], 'r/' .. A[1] .. '/' .. channel, cursor .. '|0')
    gone[channel] = nil
  end
  for channel in pairs(gone) do redis.call('HDEL', K[1], 'u/' .. channel) end
  if #reply > 0 then redis.call('EXPIRE', K[1], A[3]) end
  return { others, reply }
end

-- Channels ---------------------------------------------------------------------------------------

local function save_end(ending, cursor, now, life_s)
  redis.call('SET', ending, cursor .. '|' .. int(now), 'EX', life_s)
end

-- A log that has no entry begins here.
local function begin(ending, now, life_s)
  local cursor = int(now) .. '-0'
  save_end(ending, cursor, now, life_s)
  return cursor
end

-- The end of a log: {cursor, whether entries are kept}; nil when it never had one. A loss that the log
-- does not show yet is appended.
local function log_end(log, ending, history, now, life_s)
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  local last, written
  if newest then
    last, written = newest[1], string.match(newest[2][4], '^%d|[^|]*|[^|]*|(%d+)|')
  else
    last, written = string.match(redis.call('GET', ending) or '', '^([^|]+)|(%d+)$')
  end
  if not last or tonumber(written) >= history.lost then return last, newest ~= nil end
  local cursor, frame = loss(seq(last) + 1, history.lost, now)
  redis.call('XADD', log, cursor, 'p', last, 'f', frame)
  if not newest then redis.call('EXPIRE', log, life_s) end
  save_end(ending, cursor, now, life_s)
  return cursor, true
end

-- KEYS log dedup end
-- ARGV channel id nonce ttl_ms history retention_s hint_channel hash dedup_s life_s body
local function publish(K, A, history)
  local now = now_ms()
  local prev = log_end(K[1], K[3], history, now, A[10])
  local cursor = int(prev and seq(prev) + 1 or now) .. '-' .. A[3]
  local before = remember(K[2], cursor, A[8], A[9])
  if before then return before end
  accept(history)
  prev = prev or ZERO
  local frame = '1|' .. cursor .. '|' .. A[2] .. '|' .. int(now) .. '|' .. int(now + tonumber(A[4])) .. '|n|' .. A[11]
  redis.call('XADD', K[1], 'MAXLEN', A[5], cursor, 'p', prev, 'f', frame)
  redis.call('EXPIRE', K[1], A[6])
  save_end(K[3], cursor, now, A[10])
  redis.call('SPUBLISH', A[7], 'C1|' .. prev .. '|' .. #A[1] .. '|' .. A[1] .. frame)
  return { 'ok', cursor }
end

-- Where the log of a channel stands; one that never had an entry begins here, so that whoever follows
-- it has a position from which something can be missing.
-- KEYS log end | ARGV life_s begins
local function follow(K, A, history)
  local now = now_ms()
  local last = log_end(K[1], K[2], history, now, A[1])
  if not last and A[2] == '1' then return begin(K[2], now, A[1]) end
  return last or ZERO
end

-- KEYS log end | ARGV after limit bytes life_s
local function history_of(K, A, history)
  local after, limit = A[1], tonumber(A[2])
  local now = now_ms()
  local last, kept = log_end(K[1], K[2], history, now, A[4])
  local gone = history.lost > 0 and 'rewound' or 'expired'
  if not last then
    last = ZERO
    -- Whoever follows it is to have a position again.
    if history.lost > 0 then last = begin(K[2], now, A[4]) end
    return { last, after ~= ZERO and gone or '', last, 0, {} }
  end
  if after == last then return { last, '', last, 0, {} } end
  if not kept then
    local gap = seq(after) >= seq(last) and 'rewound' or 'expired'
    return { last, after ~= ZERO and gap or '', last, 0, {} }
  end
  local from, start, gap = '-', ZERO, ''
  if after ~= ZERO then
    local oldest = redis.call('XRANGE', K[1], '-', '+', 'COUNT', 1)[1]
    if redis.call('XRANGE', K[1], after, after)[1] then
      from, start = '(' .. after, after
    elseif oldest[2][2] == after then
      start = after
    elseif seq(after) >= seq(oldest[1]) then
      gap = 'rewound'
    else
      gap = oldest[2][2] == ZERO and gone or 'expired'
    end
  end
  local entries = redis.call('XRANGE', K[1], from, '+', 'COUNT', limit + 1)
  local frames = {}
  for i = 1, math.min(#entries, limit) do frames[i] = entries[i][2][4] end
  local count = within(frames, tonumber(A[3]))
  for i = #frames, count + 1, -1 do frames[i] = nil end
  local more = #entries > count
  return { start, gap, more and entries[count][1] or last, more and 1 or 0, frames }
end

-- Leases -----------------------------------------------------------------------------------------

-- KEYS lease gateways generations | ARGV gateway ttl_ms
local function lease_take(K, A)
  local now = now_ms()
  local generation = int(math.max(now, tonumber(redis.call('GET', K[3]) or 0) + 1))
  redis.call('SET', K[3], generation)
  redis.call('SET', K[1], generation, 'PX', A[2])
  redis.call('ZADD', K[2], int(now + tonumber(A[2])), A[1] .. '|' .. generation)
  return generation
end

-- KEYS lease gateways | ARGV gateway generation ttl_ms
local function lease_renew(K, A)
  if redis.call('GET', K[1]) ~= A[2] then return 0 end
  redis.call('PEXPIRE', K[1], A[3])
  redis.call('ZADD', K[2], int(now_ms() + tonumber(A[3])), A[1] .. '|' .. A[2])
  return 1
end

-- KEYS lease gateways | ARGV gateway generation
local function lease_drop(K, A)
  if redis.call('GET', K[1]) == A[2] then redis.call('DEL', K[1]) end
  redis.call('ZREM', K[2], A[1] .. '|' .. A[2])
  return 1
end

-- Ends the lease of a gateway that is known to be dead. It stays among the ended until it is reaped.
-- KEYS lease gateways | ARGV gateway generation
local function lease_end(K, A)
  if redis.call('GET', K[1]) == A[2] then redis.call('DEL', K[1]) end
  redis.call('ZADD', K[2], 'XX', 0, A[1] .. '|' .. A[2])
  return 1
end

-- Whose lease holds, and whose has ended: {live, ended}, each gateway|generation.
-- KEYS gateways
local function lease_list(K)
  local now = int(now_ms())
  return {
    redis.call('ZRANGEBYSCORE', K[1], '(' .. now, '+inf'),
    redis.call('ZRANGEBYSCORE', K[1], '-inf', now),
  }
end

redis.register_function('c2_send', believed(send))
redis.register_function('c2_connect', believed(connect))
redis.register_function('c2_read', believed(read))
redis.register_function('c2_ack', believed(ack))
redis.register_function('c2_disconnect', disconnect)
redis.register_function('c2_reap', reap)
redis.register_function('c2_claim', believed(claim))
redis.register_function('c2_publish', believed(publish))
redis.register_function('c2_follow', believed(follow))
redis.register_function('c2_history', believed(history_of))
redis.register_function('c2_settle', settle)
redis.register_function('c2_lease_take', lease_take)
redis.register_function('c2_lease_renew', lease_renew)
redis.register_function('c2_lease_drop', lease_drop)
redis.register_function('c2_lease_end', lease_end)
redis.register_function('c2_lease_list', lease_list)
