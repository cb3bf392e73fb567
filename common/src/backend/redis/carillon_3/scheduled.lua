-- Scheduled --------------------------------------------------------------------------------------

-- What is noted of one that never came into the inbox.
local function note_of_id(left, id, reason, now, life_s)
  note_left(left, { ZERO .. '|*|' .. reason .. '|' .. int(now) .. '|' .. id })
  redis.call('EXPIRE', left, life_s)
end

-- Why one never came into the inbox, where that is still noted.
local function left_of_id(left, id)
  for _, noted in ipairs(redis.call('LRANGE', left, 0, -1)) do
    local reason, of = string.match(noted, '^0%-0|%*|(%a+)|%d+|(.*)$')
    if of == id then return reason end
  end
  return nil
end

-- Keeps one until it is due: {what, when it is due, presence, whether the user was ever seen}, what being ok;
-- repeated; mismatch; or why it is refused: past, far, many.
local function schedule(K, A, history)
  local user, presence, dedup, scheduled, waiting, due = unpack(K)
  local user_name, id, due_ms, ttl_ms, most, late_ms, ahead_ms, hash, dedup_s, collapse_key, body,
    span = unpack(A)
  local now, at, when = now_ms(), tonumber(due_ms), due_ms

  local seen = redis.call('HMGET', user, 'f')[1] and 1 or 0
  -- In the place of a cursor: none has a nonce of 0.
  local place = int(at) .. '-0'
  local before = remember(dedup, nil, place, hash, dedup_s)
  local what = before and before[1] or 'ok'
  if what == 'repeated' then when = int(seq(before[2])) end
  -- While it waits it is known by its id, too, for longer than a key is remembered.
  local record = what == 'ok' and redis.call('HMGET', scheduled, id)[1]
  if record then
    local of
    when, of = string.match(record, '^%d|[^|]*|(%d+)|%d+|%d+|([^|]*)|')
    what = of == hash and 'repeated' or 'mismatch'
  elseif what == 'ok' then
    if at < now - tonumber(late_ms) then what = 'past'
    elseif at > now + tonumber(ahead_ms) then what = 'far'
    elseif redis.call('ZCOUNT', waiting, '-inf', '+inf') >= tonumber(most) then what = 'many' end
  end
  if what == 'ok' then
    redis.call('HSET', scheduled, id, '1|' .. id .. '|' .. int(at) .. '|' .. int(now) .. '|' .. ttl_ms .. '|' .. hash
      .. '|' .. collapse_key .. '|' .. (span or '') .. '|' .. body)
    redis.call('ZADD', waiting, int(at), id)
    redis.call('ZADD', due, 'LT', int(at), user_name)
    accept(history)
  elseif what ~= 'repeated' then
    if not before then unremember(dedup, nil, place, hash) end
    return { what }
  end
  return { what, when, redis.call('HGETALL', presence), seen }
end
redis.register_function('c3_schedule', believed(schedule))

-- Users for whom something is due. Nobody else is told of them for a while: whoever asked has them then.
local function take_due(K, A)
  local due = unpack(K)
  local most, for_ms = unpack(A)
  local now = now_ms()
  local users, later = redis.call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', 0, most), {}
  for _, user in ipairs(users) do
    later[#later + 1] = int(now + tonumber(for_ms))
    later[#later + 1] = user
  end
  if #later > 0 then redis.call('ZADD', due, 'XX', unpack(later)) end
  return users
end
redis.register_function('c3_due', take_due)

-- Takes one out of those that wait; `following`: when the next one is due, if there is one.
local function take_out(scheduled, waiting, due, user_name, id, following)
  redis.call('HDEL', scheduled, id)
  redis.call('ZREM', waiting, id)
  if following then
    redis.call('ZADD', due, following, user_name)
  else
    redis.call('ZREM', due, user_name)
  end
end

-- Gives the inbox what waits and is due first: {what, when it was due, now, presence, whether the next is due}, what
-- being ok; none: nothing is due; expired: its time passed before; or full: the inbox is, and it goes on waiting.
local function fire(K, A, history)
  local inbox, user, left, presence, buried, collapse, scheduled, waiting, due = unpack(K)
  local user_name, max, keep, most_devices, device_ttl_s, life_s, gateway_channel, nonce, again_ms = unpack(A)
  local now = now_ms()
  local id, at, _, following = unpack(redis.call('ZRANGEBYSCORE', waiting, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 2))
  if not id then
    redis.call('ZREM', due, user_name)
    return { 'none', '0', int(now), {}, 0 }
  end
  -- By this clock and no other, so that none comes early.
  if tonumber(at) > now then
    redis.call('ZADD', due, at, user_name)
    return { 'none', at, int(now), {}, 0 }
  end
  local more = following and tonumber(following) <= now and 1 or 0
  local record = redis.call('HMGET', scheduled, id)[1]
  local ttl, collapse_key, span, body =
    string.match(record or '', '^%d|[^|]*|%d+|%d+|(%d+)|[^|]*|([^|]*)|([^|]*)|(.*)$')
  if not body then
    -- Of nobody's making here: there is nothing to be given.
    take_out(scheduled, waiting, due, user_name, id, following)
    return { 'none', at, int(now), {}, more }
  end
  local expires = tonumber(at) + tonumber(ttl)
  if expires <= now then
    take_out(scheduled, waiting, due, user_name, id, following)
    note_of_id(left, id, 'expired', now, life_s)
    accept(history)
    return { 'expired', at, int(now), {}, more }
  end
  local last, renewed, shown = unpack(redis.call('HMGET', user, 'l', 'x', 'm'))
  local fresh
  last, fresh = show_loss(inbox, user, last, shown, history, tonumber(life_s), now)
  local room, changed, replaced = make_way(K, A, last, collapse_key, now)
  if not room then
    redis.call('ZADD', due, int(now + tonumber(again_ms)), user_name)
    return { 'full', at, int(now), {}, 0 }
  end
  -- First, since what Redis refuses halfway must not come twice; what follows is what every send does.
  take_out(scheduled, waiting, due, user_name, id, following)
  local cursor = int(last and seq(last) + 1 or now) .. '-' .. nonce
  accept(history)
  local frame = frame_of(cursor, id, now, expires, span, body)
  local places = append(K, A, last, cursor, frame, collapse_key, replaced, renewed, fresh or changed, now)
  return { 'ok', at, int(now), places, more }
end
redis.register_function('c3_fire', believed(fire))

-- Takes one back that waits: {what}, what being ok; why it had left; or gone: nothing of this id waits.
local function cancel(K, A, history)
  local left, scheduled, waiting, due = unpack(K)
  local user_name, id, life_s = unpack(A)
  if redis.call('HDEL', scheduled, id) == 0 then
    local before = left_of_id(left, id)
    -- A write, so that a WAIT that follows covers the first attempt too.
    if before then redis.call('EXPIRE', left, life_s) end
    return { before or 'gone' }
  end
  redis.call('ZREM', waiting, id)
  if redis.call('ZCOUNT', waiting, '-inf', '+inf') == 0 then redis.call('ZREM', due, user_name) end
  note_of_id(left, id, 'retracted', now_ms(), life_s)
  accept(history)
  return { 'ok' }
end
redis.register_function('c3_cancel', believed(cancel))

-- What is known of one by its id: {what, record}, what being waiting; why it left; or gone.
local function awaited(K, A)
  local left, scheduled = unpack(K)
  local id = unpack(A)
  local record = redis.call('HMGET', scheduled, id)[1]
  if record then return { 'waiting', record } end
  return { left_of_id(left, id) or 'gone', '' }
end
redis.register_function('c3_awaited', believed(awaited))

-- A page of what waits for a user, by when it is due, after a place (a time and an id): {records, more}.
local function agenda(K, A)
  local scheduled, waiting = unpack(K)
  local after_ms, after_id, limit, bytes = unpack(A)
  local ids = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, after_ms, after_ms)) do
    if id > after_id then ids[#ids + 1] = id end
  end
  -- One more than a page has, so that it shows whether there is more.
  local wanted = tonumber(limit) + 1
  if #ids < wanted then
    local later = redis.call('ZRANGEBYSCORE', waiting, '(' .. after_ms, '+inf', 'LIMIT', 0, int(wanted - #ids))
    for _, id in ipairs(later) do ids[#ids + 1] = id end
  end
  local records = {}
  walk(math.min(tonumber(limit), #ids), tonumber(bytes), function(shown, most)
    return redis.call('HMGET', scheduled, unpack(ids, shown + 1, math.min(shown + most, #ids)))
  end, function(record) records[#records + 1] = record end)
  local count = within(records, tonumber(bytes))
  for i = #records, count + 1, -1 do records[i] = nil end
  return { records, count < #ids and 1 or 0 }
end
redis.register_function('c3_agenda', believed(agenda))
