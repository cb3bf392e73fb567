-- Connections ------------------------------------------------------------------------------------

-- Forgets devices, and marks and durable subscriptions of those that have a name.
local function forget_devices(user, subs_key, marks, subs, names)
  if #names == 0 then return end
  local records, forgotten, named, kept = {}, {}, {}, {}
  for _, name in ipairs(names) do
    records[#records + 1] = 'd:' .. name
    if not is_anonymous(name) then
      named[name] = true
      forgotten[#forgotten + 1] = name
    end
  end
  in_pieces('HDEL', user, records)
  in_pieces('HDEL', marks, forgotten)
  for i = 1, #subs, 2 do
    if named[string.match(subs[i], '^[ad]/([^/]*)/')] then kept[#kept + 1] = subs[i] end
  end
  in_pieces('HDEL', subs_key, kept)
end

-- The channels that services put the user on, and where a device goes on in each: where it was, else from where the
-- user is on it; one that is not `known` begins now (zero).
local function assigned_to(assigned, kept, device, known)
  local all = redis.call('HGETALL', assigned)
  if #all == 0 then return all end
  local prefix, place = 'a/' .. (is_anonymous(device) and '~' or device) .. '/', {}
  for i = 1, #kept, 2 do
    if string.sub(kept[i], 1, #prefix) == prefix then place[string.sub(kept[i], #prefix + 1)] = kept[i + 1] end
  end
  for i = 1, #all, 2 do all[i + 1] = place[all[i]] or (known and all[i + 1] or ZERO) end
  return all
end

local function connect(K, A, history)
  local presence, online, user, inbox, left, sessions, subs, marks, assigned = unpack(K)
  local user_name, field, device, session, gateway, generation, fence, since, broadcast, limit, life_s,
    gateway_channel, bytes, opened, together_ms, most_connections, most_devices = unpack(A)
  local now, most, again = now_ms(), tonumber(most_devices), fence ~= ''

  local old = redis.call('HGET', presence, field)
  local old_gateway, old_fence, old_opened
  if old then old_gateway, old_fence, old_opened = string.match(old, '^([^|]+)|%d+|(%d+)|(%d+)') end
  local last, highest, renewed, known, shown = unpack(redis.call('HMGET', user, 'l', 'f', 'x', 'd:' .. device, 'm'))
  if not again then
    if old and tonumber(old_opened) > tonumber(opened) + tonumber(together_ms) then return { 'replaced' } end
    fence = int(math.max(now, tonumber(highest or 0) + 1))
    highest = fence
  elseif old and tonumber(old_fence) > tonumber(fence) then
    return { 'replaced' }
  end
  if not old and redis.call('HLEN', presence) >= tonumber(most_connections) then return { 'too_many' } end
  redis.call('HSET', presence, field, gateway .. '|' .. generation .. '|' .. fence .. '|' .. opened)
  -- The canary is no user. Its next connection takes the place of one whose end was not heard, so nobody has to
  -- reap it.
  if user_name ~= CANARY then
    redis.call('SADD', online, user_name)
    redis.call('SADD', sessions, user_name)
  end
  if old and old_fence ~= fence then
    local hint = 'R1|' .. fence .. '|' .. #user_name .. '|' .. user_name .. session
    redis.call('SPUBLISH', gateway_channel .. old_gateway, hint)
  end

  local fresh
  last, fresh = show_loss(inbox, user, last, shown, history, tonumber(life_s), now)
  local record, all = known and parse_device(known), nil
  local returns = known
  if not known then
    all = all_devices(user)
    for _, other in ipairs(all) do returns = returns or is_anonymous(device) and is_anonymous(other.name) end
    record = new_device(all, device, broadcast)
    begin_marks(marks, device, record.acked)
    if is_anonymous(device) then
      redis.call('HDEL', user, 'd:~')
      for i = #all, 1, -1 do
        if all[i].name == '~' then table.remove(all, i) end
      end
    end
  elseif redis.call('HLEN', user) > redis.call('HLEN', presence) + most + 5 then
    -- More records than connections, fields of other kinds and devices that may be remembered.
    all = all_devices(user)
  end
  record.seen = math.floor(now / 1000)
  redis.call('HSET', user, 'f', highest or fence, 'd:' .. device, pack_device(record))
  renew(user, renewed, now, fresh or not known, life_s, inbox, left, subs, marks)

  local kept = redis.call('HGETALL', subs)
  -- A session that was reaped and goes on after all: what nobody has claimed is its own again.
  local goes_on = again and (not old or old_fence == fence)
  local durable, claimable = kept_for(subs, kept, device, goes_on and session)
  local gone = all and to_forget(all, presence, most) or {}
  forget_devices(user, subs, marks, kept, gone)
  local first = page(inbox, last, record, since, tonumber(limit), tonumber(bytes))
  -- A device of which nothing is known may have been known before the loss.
  if not known and first[2] == '' and history.lost > 0 and history.lost + tonumber(life_s) * 1000 >= now then
    first[2] = 'rewound'
  end
  local given = assigned_to(assigned, kept, device, returns)
  return { 'ok', fence, record.broadcast, first, with_use(durable, kept), claimable, #gone, given }
end
redis.register_function('c3_connect', believed(connect))

-- A gateway's generation (`place`) forgets a user of whom it has no connection any more.
local function forget(places, sessions, user_name, place)
  for _, other in ipairs(places) do
    if string.sub(other, 1, #place) == place then return end
  end
  redis.call('SREM', sessions, user_name)
end

-- What connections of one generation (`place`) leave when they end: `fields` of presence. `freed`:
-- channel → cursor, or nil to forget them all.
local function depart(K, user_name, fields, place, broadcast, freed)
  local presence, online, user, sessions, subs = unpack(K)
  local now = now_ms()
  in_pieces('HDEL', presence, fields)
  local others = redis.call('HVALS', presence)
  if #others == 0 then redis.call('SREM', online, user_name) end
  forget(others, sessions, user_name, place)

  local ending, records, ended, folded = {}, {}, {}, nil
  for _, field in ipairs(fields) do
    local device, session = string.match(field, '^([^/]*)/(.*)$')
    local name = device == '~' and '~' .. session or device
    ending[session] = true
    local d = not records[name] and load_device(user, name)
    if d then
      d.name, d.seen = name, math.floor(now / 1000)
      if broadcast ~= '' and seq(broadcast) > seq(d.broadcast) then d.broadcast = broadcast end
      if device == '~' then
        ended[#ended + 1] = 'd:' .. name
        folded = fold(folded or load_device(user, '~'), d)
      else
        records[name] = d
        save_device(user, name, d)
      end
    end
  end
  in_pieces('HDEL', user, ended)
  if folded then save_device(user, '~', folded) end

  local left, gone, all = {}, {}, redis.call('HGETALL', subs)
  for i = 1, #all, 2 do
    local session, channel = string.match(all[i], '^r/([^/]*)/(.*)$')
    if session and ending[session] and freed then
      left[#left + 1] = all[i]
      left[#left + 1] = (freed[channel] or string.match(all[i + 1], '^[^|]+')) .. '|' .. int(now)
    elseif session and ending[session] then
      gone[#gone + 1] = all[i]
      gone[#gone + 1] = 'u/' .. channel
    end
  end
  in_pieces('HSET', subs, left)
  in_pieces('HDEL', subs, gone)
end

local function disconnect(K, A)
  local presence, online, user, sessions, subs = unpack(K)
  local user_name, field, fence, broadcast, clean, place = unpack(A, 1, 6)
  local kept = rest(A, 6)

  local value = redis.call('HGET', presence, field)
  if not value or string.match(value, '^[^|]+|%d+|(%d+)|') ~= fence then
    -- The session goes on elsewhere, and is counted there.
    forget(redis.call('HVALS', presence), sessions, user_name, place)
    return 0
  end
  local freed = nil
  if clean ~= '1' then
    freed = {}
    for i = 1, #kept, 2 do freed[kept[i]] = kept[i + 1] end
  end
  depart(K, user_name, { field }, place, broadcast, freed)
  return 1
end
redis.register_function('c3_disconnect', disconnect)

-- Ends a user's connections of one generation of one gateway, except those whose fence is held. So
-- many at once: who is answered as many asks again.
local function reap(K, A)
  local presence, online, user, sessions, subs = unpack(K)
  local user_name, gateway, generation, most = unpack(A, 1, 4)
  local held = rest(A, 4)

  local place, is_held, fields, left = gateway .. '|' .. generation .. '|', {}, {}, false
  for _, fence in ipairs(held) do is_held[fence] = true end
  local all = redis.call('HGETALL', presence)
  for i = 1, #all, 2 do
    if string.sub(all[i + 1], 1, #place) == place then
      if is_held[string.match(all[i + 1], '^%d+', #place + 1)] or #fields == tonumber(most) then
        left = true
      else
        fields[#fields + 1] = all[i]
      end
    end
  end
  if #fields > 0 then depart(K, user_name, fields, place, '', {}) end
  if not left then redis.call('SREM', sessions, user_name) end
  return #fields
end
redis.register_function('c3_reap', reap)

