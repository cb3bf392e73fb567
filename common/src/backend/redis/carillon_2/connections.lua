-- Connections ------------------------------------------------------------------------------------

-- The least of the anonymous connections' records, ended ones included.
local function least_anonymous(all)
  local anonymous = {}
  for _, d in ipairs(all) do
    if string.sub(d.name, 1, 1) == '~' then anonymous[#anonymous + 1] = d end
  end
  return furthest_behind(anonymous), anonymous
end

-- The record a device without one starts with.
local function new_device(all, name, broadcast)
  local d, most = { acked = ZERO, seen = 0, broadcast = broadcast, flags = '' }, 0
  for _, other in ipairs(all) do
    local acked = seq(other.acked)
    if acked > most then d.acked, most = other.acked, acked end
  end
  if string.sub(name, 1, 1) == '~' then
    -- Anonymous connections share one device: at least once, so from the least of them.
    local least, anonymous = least_anonymous(all)
    if least then d.acked, d.flags = least.acked, least.flags end
    for _, other in ipairs(anonymous) do
      if seq(other.broadcast) < seq(d.broadcast) then d.broadcast = other.broadcast end
    end
  end
  return d
end

-- Channels, cursors and when clients last asked for each, of the fields and values of subs.
local function with_use(cursors, subs)
  local used, flat = {}, {}
  for i = 1, #subs, 2 do
    if string.byte(subs[i]) == 117 then used[string.sub(subs[i], 3)] = subs[i + 1] end -- u/
  end
  for channel, cursor in pairs(cursors) do
    flat[#flat + 1] = channel
    flat[#flat + 1] = cursor
    flat[#flat + 1] = used[channel] or '0'
  end
  return flat
end

-- Forgets devices, and the durable subscriptions of those that have a name.
local function forget_devices(user, subs_key, subs, names)
  if #names == 0 then return end
  local records, named, kept = {}, {}, {}
  for _, name in ipairs(names) do
    records[#records + 1] = 'd:' .. name
    if string.sub(name, 1, 1) == '=' then named[name] = true end
  end
  in_pieces('HDEL', user, records)
  for i = 1, #subs, 2 do
    if named[string.match(subs[i], '^d/([^/]*)/')] then kept[#kept + 1] = subs[i] end
  end
  in_pieces('HDEL', subs_key, kept)
end

-- KEYS presence online user inbox left sessions subs
-- ARGV user field device session gateway generation fence since broadcast limit life_s gateway_channel
--      bytes opened together_ms most_connections most_devices
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
  if not old and redis.call('HLEN', K[1]) >= tonumber(A[16]) then return { 'too_many' } end
  redis.call('HSET', K[1], A[2], A[5] .. '|' .. A[6] .. '|' .. fence .. '|' .. A[14])
  -- The canary is no user. Its next connection takes the place of one whose end was not heard, so nobody has to
  -- reap it.
  if A[1] ~= CANARY then
    redis.call('SADD', K[2], A[1])
    redis.call('SADD', K[6], A[1])
  end
  if old and old_fence ~= fence then
    redis.call('SPUBLISH', A[12] .. old_gateway, 'R1|' .. fence .. '|' .. #A[1] .. '|' .. A[1] .. A[4])
  end

  local last, shown = show_loss(K[4], K[3], known[1], known[5], history, tonumber(A[11]), now)
  local device, stranger = known[4] and parse_device(known[4]), not known[4]
  local most, all = tonumber(A[17]), nil
  if stranger then
    all = all_devices(K[3])
    device = new_device(all, A[3], A[9])
    if string.sub(A[3], 1, 1) == '~' then
      redis.call('HDEL', K[3], 'd:~')
      for i = #all, 1, -1 do
        if all[i].name == '~' then table.remove(all, i) end
      end
    end
  elseif redis.call('HLEN', K[3]) > redis.call('HLEN', K[1]) + most + 5 then
    -- More records than connections, fields of other kinds and devices that may be remembered.
    all = all_devices(K[3])
  end
  device.seen = math.floor(now / 1000)
  redis.call('HSET', K[3], 'f', highest or fence, 'd:' .. A[3], pack_device(device))
  renew(K[3], known[3], now, shown, A[11], K[4], K[5], K[7])

  local prefix = 'd/' .. (string.sub(A[3], 1, 1) == '~' and '~' or A[3]) .. '/'
  local goes_on, own = A[7] ~= '' and (not old or old_fence == fence), 'r/' .. A[4] .. '/'
  local subs, durable, claimable, again = redis.call('HGETALL', K[7]), {}, 0, {}
  for i = 1, #subs, 2 do
    local field, kind = subs[i], string.byte(subs[i])
    if kind == 100 and string.sub(field, 1, #prefix) == prefix then -- d/
      durable[string.sub(field, #prefix + 1)] = subs[i + 1]
    elseif kind == 114 then -- r/
      claimable = 1
      -- A session that was reaped and goes on after all: what nobody has claimed is its own again.
      if goes_on and string.sub(field, 1, #own) == own then
        again[#again + 1] = field
        again[#again + 1] = string.match(subs[i + 1], '^[^|]+') .. '|0'
      end
    end
  end
  in_pieces('HSET', K[7], again)
  local gone = all and to_forget(all, K[1], most) or {}
  forget_devices(K[3], K[7], subs, gone)
  local first = page(K[4], last, device, A[8], tonumber(A[10]), tonumber(A[13]))
  -- A device of which nothing is known may have been known before the loss.
  if stranger and first[2] == '' and history.lost > 0 and history.lost + tonumber(A[11]) * 1000 >= now then
    first[2] = 'rewound'
  end
  return { 'ok', fence, device.broadcast, first, with_use(durable, subs), claimable, #gone }
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

-- KEYS user inbox left presence buried
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
    local notes = {}
    for i = 8, #A do notes[#notes + 1] = note(A[i], A[1], 'expired', now) end
    note_left(K[3], notes)
    device.acked = A[2]
    with(device, 'a')
    without(device, 'm')
  end
  save_device(K[1], A[1], device)
  if not forward then return 0 end
  local devices = counting(all_devices(K[1]), K[4], tonumber(A[5]), tonumber(A[6]), now)
  local least = furthest_behind(devices)
  if least then trim(K[2], K[5], least.acked, tonumber(A[4])) end
  renew(K[1], known[2], now, #A > 7, A[7], K[2], K[3])
  return 1
end

-- Two anonymous records as one: nothing that either still needs is passed over.
local function fold(folded, d)
  if folded then
    if seq(folded.acked) < seq(d.acked) then d.acked = folded.acked end
    if seq(folded.broadcast) < seq(d.broadcast) then d.broadcast = folded.broadcast end
    if has(folded, 'm') then with(d, 'm') end
  end
  return d
end

-- A gateway's generation (`place`) forgets a user of whom it has no connection any more.
local function forget(places, sessions, user_name, place)
  for _, other in ipairs(places) do
    if string.sub(other, 1, #place) == place then return end
  end
  redis.call('SREM', sessions, user_name)
end

-- What connections of one generation (`place`) leave when they end: `fields` of presence. `freed`:
-- channel → cursor, or nil to forget them all.
-- KEYS presence online user sessions subs
local function depart(K, user_name, fields, place, broadcast, freed)
  local now = now_ms()
  in_pieces('HDEL', K[1], fields)
  local rest = redis.call('HVALS', K[1])
  if #rest == 0 then redis.call('SREM', K[2], user_name) end
  forget(rest, K[4], user_name, place)

  local sessions, records, ended, folded = {}, {}, {}, nil
  for _, field in ipairs(fields) do
    local device, session = string.match(field, '^([^/]*)/(.*)$')
    local name = device == '~' and '~' .. session or device
    sessions[session] = true
    local d = not records[name] and load_device(K[3], name)
    if d then
      d.name, d.seen = name, math.floor(now / 1000)
      if broadcast ~= '' and seq(broadcast) > seq(d.broadcast) then d.broadcast = broadcast end
      if device == '~' then
        ended[#ended + 1] = 'd:' .. name
        folded = fold(folded or load_device(K[3], '~'), d)
      else
        records[name] = d
        save_device(K[3], name, d)
      end
    end
  end
  in_pieces('HDEL', K[3], ended)
  if folded then save_device(K[3], '~', folded) end

  local left, gone, all = {}, {}, redis.call('HGETALL', K[5])
  for i = 1, #all, 2 do
    local session, channel = string.match(all[i], '^r/([^/]*)/(.*)$')
    if session and sessions[session] and freed then
      left[#left + 1] = all[i]
      left[#left + 1] = (freed[channel] or string.match(all[i + 1], '^[^|]+')) .. '|' .. int(now)
    elseif session and sessions[session] then
      gone[#gone + 1] = all[i]
      gone[#gone + 1] = 'u/' .. channel
    end
  end
  in_pieces('HSET', K[5], left)
  in_pieces('HDEL', K[5], gone)
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
  depart(K, A[1], { A[2] }, A[6], A[4], freed)
  return 1
end

-- Ends a user's connections of one generation of one gateway, except those whose fence is held. So
-- many at once: who is answered as many asks again.
-- KEYS presence online user sessions subs | ARGV user gateway generation most held...
local function reap(K, A)
  local place, most, held, fields, left = A[2] .. '|' .. A[3] .. '|', tonumber(A[4]), {}, {}, false
  for i = 5, #A do held[A[i]] = true end
  local all = redis.call('HGETALL', K[1])
  for i = 1, #all, 2 do
    if string.sub(all[i + 1], 1, #place) == place then
      if held[string.match(all[i + 1], '^%d+', #place + 1)] or #fields == most then
        left = true
      else
        fields[#fields + 1] = all[i]
      end
    end
  end
  if #fields > 0 then depart(K, A[1], fields, place, '', {}) end
  if not left then redis.call('SREM', K[4], A[1]) end
  return #fields
end

-- Subscriptions ----------------------------------------------------------------------------------

-- Whether a user may keep one more: first those go that wait for nobody any more.
local function may_keep(subs, most, restore_ms, now)
  local kept, gone, channels, all = 0, {}, {}, redis.call('HGETALL', subs)
  for i = 1, #all, 2 do
    local kind, channel = string.match(all[i], '^(%a)/[^/]*/?(.*)$')
    local freed = kind == 'r' and tonumber(string.match(all[i + 1], '|(%d+)$')) or 0
    if freed > 0 and freed + restore_ms < now then
      gone[#gone + 1] = all[i]
    elseif kind ~= 'u' then
      kept = kept + 1
      channels['u/' .. channel] = true
    end
  end
  for i = 1, #all, 2 do
    if string.byte(all[i]) == 117 and not channels[all[i]] then gone[#gone + 1] = all[i] end -- u/
  end
  in_pieces('HDEL', subs, gone)
  return kept < most
end

-- Keeps a subscription, or says where it stands: 0 when the user has too many. `asked`: when the client
-- asked for it, if it has just done so.
-- KEYS subs | ARGV field value channel asked most restore_ms life_s
local function keep(K, A)
  local most = tonumber(A[5])
  if not redis.call('HGET', K[1], A[1])
    and redis.call('HLEN', K[1]) >= most
    and not may_keep(K[1], most, tonumber(A[6]), now_ms()) then
    return 0
  end
  redis.call('HSET', K[1], A[1], A[2])
  if A[4] ~= '' then redis.call('HSET', K[1], 'u/' .. A[3], A[4]) end
  redis.call('EXPIRE', K[1], A[7])
  return 1
end

-- KEYS subs | ARGV session restore_ms life_s
local function claim(K, A)
  local now, mine, others, gone, unused = now_ms(), {}, 0, {}, {}
  local subs = redis.call('HGETALL', K[1])
  for i = 1, #subs, 2 do
    local session, channel = string.match(subs[i], '^r/([^/]*)/(.*)$')
    if session then
      local cursor, freed = string.match(subs[i + 1], '^([^|]+)|(%d+)$')
      if session == A[1] then
        -- Its own, of the connection that this one took over.
        local known = mine[channel]
        if not known or seq(cursor) < seq(known) then mine[channel] = cursor end
      elseif freed == '0' then
        others = 1
      else
        gone[#gone + 1] = subs[i]
        unused[channel] = true
        if tonumber(freed) + tonumber(A[2]) >= now then
          local known = mine[channel]
          if not known or seq(cursor) < seq(known) then mine[channel] = cursor end
        end
      end
    end
  end
  local held = {}
  for channel, cursor in pairs(mine) do
    held[#held + 1] = 'r/' .. A[1] .. '/' .. channel
    held[#held + 1] = cursor .. '|0'
    unused[channel] = nil
  end
  for channel in pairs(unused) do gone[#gone + 1] = 'u/' .. channel end
  in_pieces('HDEL', K[1], gone)
  in_pieces('HSET', K[1], held)
  if #held > 0 then redis.call('EXPIRE', K[1], A[3]) end
  return { others, with_use(mine, subs) }
end

