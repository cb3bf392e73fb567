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

-- KEYS log dedup end [former dedup]
-- ARGV channel id nonce ttl_ms history retention_s hint_channel hash dedup_s life_s body [span]
local function publish(K, A, history)
  local now = now_ms()
  local prev = log_end(K[1], K[3], history, now, A[10])
  local cursor = int(prev and seq(prev) + 1 or now) .. '-' .. A[3]
  local before = remember(K[2], K[4], cursor, A[8], A[9])
  if before then return before end
  accept(history)
  prev = prev or ZERO
  local frame = '1|' .. cursor .. '|' .. A[2] .. '|' .. int(now) .. '|' .. int(now + tonumber(A[4]))
    .. '|n' .. (A[12] or '') .. '|' .. A[11]
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
  local frames, ids = {}, {}
  walk(limit, tonumber(A[3]), function(_, most)
    local some = {}
    for i, entry in ipairs(redis.call('XRANGE', K[1], from, '+', 'COUNT', most)) do
      some[i], from = entry[2][4], '(' .. entry[1]
      ids[#ids + 1] = entry[1]
    end
    return some
  end, function(frame) frames[#frames + 1] = frame end)
  local count = within(frames, tonumber(A[3]))
  for i = #frames, count + 1, -1 do frames[i] = nil end
  local more = count > 0 and ids[count] ~= last
  return { start, gap, more and ids[count] or last, more and 1 or 0, frames }
end

