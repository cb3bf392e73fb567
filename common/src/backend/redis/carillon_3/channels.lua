-- Subscriptions ----------------------------------------------------------------------------------

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

-- What a device finds kept, channel → cursor, and whether the user's sessions have left something to be claimed
-- (0 or 1); what `session`, if it is given, has left is its own again.
local function kept_for(subs, kept, device, session)
  local prefix, own = 'd/' .. (is_anonymous(device) and '~' or device) .. '/', session and 'r/' .. session .. '/'
  local durable, claimable, again = {}, 0, {}
  for i = 1, #kept, 2 do
    local field, kind = kept[i], string.byte(kept[i])
    if kind == 100 and string.sub(field, 1, #prefix) == prefix then -- d/
      durable[string.sub(field, #prefix + 1)] = kept[i + 1]
    elseif kind == 114 then -- r/
      claimable = 1
      if own and string.sub(field, 1, #own) == own then
        again[#again + 1] = field
        again[#again + 1] = string.match(kept[i + 1], '^[^|]+') .. '|0'
      end
    end
  end
  in_pieces('HSET', subs, again)
  return durable, claimable
end

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
local function keep(K, A)
  local subs = unpack(K)
  local field, value, channel, asked, most, restore_ms, life_s = unpack(A)
  most = tonumber(most)

  if not redis.call('HGET', subs, field)
    and redis.call('HLEN', subs) >= most
    and not may_keep(subs, most, tonumber(restore_ms), now_ms()) then
    return 0
  end
  redis.call('HSET', subs, field, value)
  if asked ~= '' then redis.call('HSET', subs, 'u/' .. channel, asked) end
  redis.call('EXPIRE', subs, life_s)
  return 1
end
redis.register_function('c3_keep', keep)

local function claim(K, A)
  local subs = unpack(K)
  local session, restore_ms, life_s = unpack(A)

  local now, mine, others, gone, unused = now_ms(), {}, 0, {}, {}
  local function take(channel, cursor)
    local known = mine[channel]
    if not known or seq(cursor) < seq(known) then mine[channel] = cursor end
  end
  local kept = redis.call('HGETALL', subs)
  for i = 1, #kept, 2 do
    local holder, channel = string.match(kept[i], '^r/([^/]*)/(.*)$')
    if holder then
      local cursor, freed = string.match(kept[i + 1], '^([^|]+)|(%d+)$')
      if holder == session then
        -- Its own, of the connection that this one took over.
        take(channel, cursor)
      elseif freed == '0' then
        others = 1
      else
        gone[#gone + 1] = kept[i]
        unused[channel] = true
        if tonumber(freed) + tonumber(restore_ms) >= now then take(channel, cursor) end
      end
    end
  end
  local held = {}
  for channel, cursor in pairs(mine) do
    held[#held + 1] = 'r/' .. session .. '/' .. channel
    held[#held + 1] = cursor .. '|0'
    unused[channel] = nil
  end
  for channel in pairs(unused) do gone[#gone + 1] = 'u/' .. channel end
  in_pieces('HDEL', subs, gone)
  in_pieces('HSET', subs, held)
  if #held > 0 then redis.call('EXPIRE', subs, life_s) end
  return { others, with_use(mine, kept) }
end
redis.register_function('c3_claim', believed(claim))

-- Logs -------------------------------------------------------------------------------------------

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

local function publish(K, A, history)
  local log, dedup, ending, former = unpack(K)
  local channel, id, nonce, ttl_ms, most, retention_s, hint_channel, hash, dedup_s, life_s, body, span = unpack(A)

  local now = now_ms()
  local prev = log_end(log, ending, history, now, life_s)
  local cursor = int(prev and seq(prev) + 1 or now) .. '-' .. nonce
  local before = remember(dedup, former, cursor, hash, dedup_s)
  if before then return before end
  accept(history)
  prev = prev or ZERO
  local frame = '1|' .. cursor .. '|' .. id .. '|' .. int(now) .. '|' .. int(now + tonumber(ttl_ms))
    .. '|n' .. (span or '') .. '|' .. body
  redis.call('XADD', log, 'MAXLEN', most, cursor, 'p', prev, 'f', frame)
  redis.call('EXPIRE', log, retention_s)
  save_end(ending, cursor, now, life_s)
  redis.call('SPUBLISH', hint_channel, 'C1|' .. prev .. '|' .. #channel .. '|' .. channel .. frame)
  return { 'ok', cursor }
end
redis.register_function('c3_publish', believed(publish))

-- Where the log of a channel stands; with `begins`, one that never had an entry begins here, so that whoever
-- follows it has a position from which something can be missing.
local function follow(K, A, history)
  local log, ending = unpack(K)
  local life_s, begins = unpack(A)

  local now = now_ms()
  local last = log_end(log, ending, history, now, life_s)
  if not last and begins == '1' then return begin(ending, now, life_s) end
  return last or ZERO
end
redis.register_function('c3_follow', believed(follow))

local function history_of(K, A, history)
  local log, ending = unpack(K)
  local after, limit, bytes, life_s = unpack(A)
  limit, bytes = tonumber(limit), tonumber(bytes)

  local now = now_ms()
  local last, kept = log_end(log, ending, history, now, life_s)
  local gone = history.lost > 0 and 'rewound' or 'expired'
  if not last then
    last = ZERO
    -- Whoever follows it is to have a position again.
    if history.lost > 0 then last = begin(ending, now, life_s) end
    return { last, after ~= ZERO and gone or '', last, 0, {} }
  end
  if after == last then return { last, '', last, 0, {} } end
  if not kept then
    local gap = seq(after) >= seq(last) and 'rewound' or 'expired'
    return { last, after ~= ZERO and gap or '', last, 0, {} }
  end
  local from, start, gap = '-', ZERO, ''
  if after ~= ZERO then
    local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    if redis.call('XRANGE', log, after, after)[1] then
      from, start = '(' .. after, after
    elseif oldest[2][2] == after then
      start = after
    elseif seq(after) >= seq(oldest[1]) then
      gap = 'rewound'
    else
      gap = oldest[2][2] == ZERO and gone or 'expired'
    end
  end
  local frames, ids = {}, {}
  walk(limit, bytes, function(_, most)
    local some = {}
    for i, entry in ipairs(redis.call('XRANGE', log, from, '+', 'COUNT', most)) do
      some[i], from = entry[2][4], '(' .. entry[1]
      ids[#ids + 1] = entry[1]
    end
    return some
  end, function(frame) frames[#frames + 1] = frame end)
  local count = within(frames, bytes)
  for i = #frames, count + 1, -1 do frames[i] = nil end
  local more = count > 0 and ids[count] ~= last
  return { start, gap, more and ids[count] or last, more and 1 or 0, frames }
end
redis.register_function('c3_history', believed(history_of))

