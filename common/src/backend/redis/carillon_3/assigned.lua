-- Channels that services put users on ---------------------------------------------------------------

-- Forgets what is kept of a channel: `kinds` of subscriptions. Whether there was anything.
local function forget_channel(subs, kinds, channel)
  local gone = {}
  for _, field in ipairs(redis.call('HKEYS', subs)) do
    if string.match(field, '^[' .. kinds .. ']/[^/]*/(.*)$') == channel then gone[#gone + 1] = field end
  end
  in_pieces('HDEL', subs, gone)
  return #gone > 0
end

-- Puts a user on a channel, and tells the gateways that hold the user: {what, from where on}, what being ok; same:
-- the user was on it before; or full: the user is on as many as may be.
local function assign(K, A, history)
  local assigned, subs, presence = unpack(K)
  local user_name, channel, cursor, most, gateway_channel = unpack(A)

  local before, what = redis.call('HMGET', assigned, channel)[1], 'same'
  if not before then
    if #redis.call('HKEYS', assigned) >= tonumber(most) then return { 'full', ZERO } end
    redis.call('HSET', assigned, channel, cursor)
    -- A device that ended as the user was taken off may have left where it was.
    forget_channel(subs, 'a', channel)
    accept(history)
    before, what = cursor, 'ok'
  else
    -- A write, so that a WAIT that follows covers the first attempt too.
    redis.call('HSET', assigned, channel, before)
  end
  hint(redis.call('HGETALL', presence), gateway_channel,
    'A1|' .. before .. '|' .. #user_name .. '|' .. user_name .. channel)
  return { what, before }
end
redis.register_function('c3_assign', believed(assign))

-- Takes a user off a channel, whoever put the user on it, and tells the gateways that hold the user. Whether
-- somebody had.
local function unassign(K, A, history)
  local assigned, subs, presence = unpack(K)
  local user_name, channel, gateway_channel = unpack(A)

  local was = redis.call('HDEL', assigned, channel) == 1
  local kept = forget_channel(subs, 'adr', channel)
  redis.call('HDEL', subs, 'u/' .. channel)
  accept(history)
  hint(redis.call('HGETALL', presence), gateway_channel,
    'U1|' .. ZERO .. '|' .. #user_name .. '|' .. user_name .. channel)
  return (was or kept) and 1 or 0
end
redis.register_function('c3_unassign', believed(unassign))
