-- What was read --------------------------------------------------------------------------------

-- Marks notifications as read by their user: one, all up to a position, or all. {what}, what being gone: that position
-- is of nothing that is kept; same; or changed, and then whoever of the user's devices is connected is told.
local function mark_read(K, A)
  local inbox, user, presence, also = unpack(K)
  local user_name, what, cursor, gateway_channel, life_s = unpack(A)
  local last, renewed, up_to = unpack(redis.call('HMGET', user, 'l', 'x', 'r'))
  local head = last and redis.call('LINDEX', inbox, 0)
  if not head then return { what == 'all' and 'same' or 'gone' } end
  local first, changed, id = cursor_of(head), false, ''
  up_to = tonumber(up_to or 0)

  if what == 'one' then
    local at = index_of(inbox, first, redis.call('LLEN', inbox), cursor)
    if not at then return { 'gone' } end
    id = string.match(redis.call('LINDEX', inbox, int(at)), '^%d|[^|]*|([^|]*)|')
    changed = seq(cursor) > up_to and redis.call('ZADD', also, int(seq(cursor)), int(seq(cursor))) == 1
  else
    if what == 'all' then cursor = last end
    if not in_chain(inbox, last, cursor) then return { 'gone' } end
    changed = seq(cursor) > up_to
    if changed then
      redis.call('HSET', user, 'r', int(seq(cursor)))
      redis.call('ZREMRANGEBYSCORE', also, '-inf', int(seq(cursor)))
    end
  end
  if not changed then
    -- A write, so that a WAIT that follows covers the first attempt too.
    redis.call('HSET', user, 'l', last)
    return { 'same' }
  end
  redis.call('ZREMRANGEBYSCORE', also, '-inf', '(' .. int(seq(first)))
  renew(user, renewed, now_ms(), true, life_s, inbox, also)
  hint(redis.call('HGETALL', presence), gateway_channel, 'M1|' .. cursor .. '|' .. #user_name .. '|' .. user_name .. id)
  return { 'changed' }
end
redis.register_function('c3_mark_read', believed(mark_read))

-- Counts what may be delivered or read and was not read, in a piece of the inbox: {how many, where it goes on}.
local function unread(K, A)
  local inbox, user, also = unpack(K)
  local from, limit, bytes = unpack(A)
  local last, up_to = unpack(redis.call('HMGET', user, 'l', 'r'))
  local head = last and redis.call('LINDEX', inbox, 0)
  if not head then return { 0, '' } end
  local first = seq(cursor_of(head))
  local at = math.max(tonumber(up_to or 0) + 1, tonumber(from), first)
  local read = {}
  for _, number in ipairs(redis.call('ZRANGEBYSCORE', also, int(at), int(at + tonumber(limit) - 1))) do
    read[number] = true
  end
  local count, now = 0, now_ms()
  local shown = walk(tonumber(limit), tonumber(bytes), reader(inbox, at - first), function(frame)
    local dead = expired(frame, now) or is_loss(frame)
    if not dead and not read[int(seq(cursor_of(frame)))] then count = count + 1 end
  end)
  return { count, at + shown <= seq(last) and int(at + shown) or '' }
end
redis.register_function('c3_unread', believed(unread))
