-- What services ask of an inbox ---------------------------------------------------------------------

-- A page for whoever only looks: after a position, or where `backwards`, before it, the newest first. An empty
-- position is the end where it begins. {what, more, frames, up to, also}: what being ok, or foreign: a position of
-- no notification of this history; all up to a number were read, and of these frames also some others.
local function look(K, A)
  local inbox, user, also = unpack(K)
  local after, backwards, limit, bytes = unpack(A)
  local head = redis.call('LINDEX', inbox, 0)
  local last, up_to = unpack(redis.call('HMGET', user, 'l', 'r'))
  -- Without the number of its last one, an inbox is of a history that is over.
  if not head or not last then return { after == '' and 'ok' or 'foreign', 0, {}, 0, {} } end
  local first, length, at = cursor_of(head), redis.call('LLEN', inbox), nil
  if after == '' then
    at = backwards == '1' and length or -1
  elseif seq(after) < seq(first) then
    at = -1
  else
    at = index_of(inbox, first, length, after)
    if not at then return { 'foreign', 0, {}, 0, {} } end
  end
  local frames, left = {}, 0
  if backwards == '1' then
    left = math.max(at, 0)
    walk(math.min(tonumber(limit), left), tonumber(bytes), function(shown, most)
      local till = at - shown - 1
      local piece, turned = redis.call('LRANGE', inbox, int(math.max(till - most + 1, 0)), int(till)), {}
      for i = #piece, 1, -1 do turned[#turned + 1] = piece[i] end
      return turned
    end, function(frame) frames[#frames + 1] = frame end)
  else
    left = length - at - 1
    walk(math.min(tonumber(limit), left), tonumber(bytes), reader(inbox, at + 1),
      function(frame) frames[#frames + 1] = frame end)
  end
  local count = within(frames, tonumber(bytes))
  for i = #frames, count + 1, -1 do frames[i] = nil end
  local read = {}
  if count > 0 then
    local one, other = seq(cursor_of(frames[1])), seq(cursor_of(frames[count]))
    read = redis.call('ZRANGEBYSCORE', also, int(math.min(one, other)), int(math.max(one, other)))
  end
  return { 'ok', count < left and 1 or 0, frames, int(tonumber(up_to or 0)), read }
end
redis.register_function('c3_look', believed(look))

-- All that is known of a position: {what, frame, now, lost, devices, marks, notes, oldest note, last}. What stands
-- there is `kept`, with its frame; `trimmed`: it was before the oldest; `foreign`: another stands at its number;
-- `beyond`: after the last, which is empty where there never was one.
local function receipt(K, A, history)
  local inbox, user, left, marks = unpack(K)
  local cursor = unpack(A)
  local fields, devices, last = redis.call('HGETALL', user), {}, nil
  for i = 1, #fields, 2 do
    if fields[i] == 'l' then
      last = fields[i + 1]
    elseif string.sub(fields[i], 1, 2) == 'd:' then
      devices[#devices + 1] = string.sub(fields[i], 3)
      devices[#devices + 1] = fields[i + 1]
    end
  end
  local what, kept, head = 'beyond', '', redis.call('LINDEX', inbox, 0)
  if last and seq(cursor) <= seq(last) then
    local at = head and seq(cursor) - seq(cursor_of(head)) or -1
    local frame = at >= 0 and redis.call('LINDEX', inbox, int(at))
    if not frame then
      what = 'trimmed'
    elseif cursor_of(frame) == cursor then
      what, kept = 'kept', frame
    else
      what = 'foreign'
    end
  end
  local notes, all = {}, redis.call('LRANGE', left, 0, -1)
  for _, noted in ipairs(all) do
    if string.sub(noted, 1, #cursor + 1) == cursor .. '|' then notes[#notes + 1] = noted end
  end
  -- Only where there were more, may one be gone.
  local oldest = #all >= NOTES and all[1] or ''
  return {
    what, kept, int(now_ms()), int(history.lost), devices, redis.call('HGETALL', marks), notes, oldest, last or '',
  }
end
redis.register_function('c3_receipt', believed(receipt))

-- Takes a notification back: {what, presence}, what being ok; gone: it is not in the inbox; or left: it was
-- taken back before, or has expired.
local function retract(K, A, history)
  local inbox, user, left, presence, buried = unpack(K)
  local user_name, cursor, gateway_channel, life_s = unpack(A)
  local now, head = now_ms(), redis.call('LINDEX', inbox, 0)
  local last = redis.call('HMGET', user, 'l')[1]
  local at = head and last and index_of(inbox, cursor_of(head), redis.call('LLEN', inbox), cursor)
  if not at then return { 'gone', {} } end
  local frame = redis.call('LINDEX', inbox, int(at))
  if is_loss(frame) then return { 'gone', {} } end
  if tombstone(frame) == frame or expired(frame, now) then
    -- A write, so that a WAIT that follows covers the first attempt too.
    redis.call('HSET', user, 'l', last)
    return { 'left', {} }
  end
  take_back(inbox, buried, at, frame)
  note_left(left, { note(cursor, '*', 'retracted', now) })
  accept(history)
  renew(user, nil, now, true, life_s, inbox, left, buried)
  local places = redis.call('HGETALL', presence)
  hint_taken_back(places, gateway_channel, user_name, frame)
  return { 'ok', places }
end
redis.register_function('c3_retract', believed(retract))

-- Forgets all that is kept of a user but the connections there are. Answers whether there was anything.
local function erase(K, A, history)
  local inbox, user, left, buried, subs, marks, collapse, also, assigned, scheduled, waiting, due = unpack(K)
  local user_name = unpack(A)
  local gone = redis.call('DEL', inbox, user, left, buried, subs, marks, collapse, also, assigned, scheduled, waiting)
  redis.call('ZREM', due, user_name)
  accept(history)
  return gone > 0 and 1 or 0
end
redis.register_function('c3_erase', believed(erase))
