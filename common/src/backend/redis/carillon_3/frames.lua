#!lua name=carillon_3
-- The delivery protocol, version 3. Every function touches the keys of one partition only (one
-- hash tag, so one slot) and runs atomically. A change of arguments or layout is carillon_4 beside
-- this one; nothing here is changed in place once released. Version 2 works on the same data: it knows nothing of
-- marks and collapse keys, which are added to it. Frames and hints start with the version of
-- their layout: 1 is written, and a later one whose head is the same is passed on (version.rs).
--
-- A function names its keys and arguments on its first lines; calls.rs has the same names in the same order.
--
-- cursor    seq-nonce           frame   1|cursor|id|stored|expires|flag|body   (flag n, followed by the span of
--           its sender where that is traced, or t: tombstone; one with a body is a loss: what stood here is
--           gone, and whoever reads it is told)
-- history   of a partition:     i  id   n  how much was accepted under it   m  ms of its last loss
-- user hash l  last cursor      f       highest fence: it is there once the user has ever connected
--           x  hour of the last renewal       m  the last loss that the inbox shows
--           r  all up to this number were read
--           s  up to where the looking for expired ones has come, while the inbox is full
--           d:<device>          acked|seen (s)|broadcast|flags   (flags: a has acked, m moved by a full inbox)
--           <device>            =name, ~session (an anonymous connection), ~ (those that ended, folded)
-- buried    the tombstones of an inbox by their numbers
-- read      numbers after that which were read, too
-- marks     <device>          begin|cut|seq:ms,seq:ms,…   when its acks moved it on: after which number it begins
--           (empty: not known), whether earlier ones are gone (c), the newest ones; ~ for all anonymous connections
-- collapse  a sorted set of a user's collapse keys: the number of the last notification of each
-- left      cursor|device|reason|ms, the newest ones; device * for whoever had not read it. Of what never came into
--           the inbox 0-0|*|reason|ms|id
-- presence  <device>/<session>  gateway|generation|fence|opened  (device of an anonymous one: ~)
-- end       cursor|ms: where a channel's log stood, which outlives the log
-- subs      d/<device>/<channel> cursor       r/<session>/<channel> cursor|ms when freed, 0 while held
--           u/<channel>         ms when a client last asked for it
--           a/<device>/<channel> cursor, which counts as long as the channel is in assigned
-- assigned  <channel>           from where on services have put the user on it; it lasts until they take the user off
-- scheduled <id>                1|id|due|accepted|ttl|hash|collapse key|span|body  (times in ms)
-- waiting   a sorted set of those ids: when each is due
-- due       of a partition, a sorted set of the users for whom something waits: when somebody is to look at that, at
--           the latest when the next one is due, and later only while somebody does or has just done so

local ZERO = '0-0'
local CANARY = '$canary'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- One command for many arguments, in pieces that fit Lua's stack.
local function in_pieces(command, key, arguments)
  for i = 1, #arguments, 1000 do
    redis.call(command, key, unpack(arguments, i, math.min(i + 999, #arguments)))
  end
end

-- The arguments after the first `count`, of which there may be any number.
local function rest(arguments, count)
  local others = {}
  for i = count + 1, #arguments do others[i - count] = arguments[i] end
  return others
end

local function int(n) return string.format('%.0f', n) end

-- Frames -----------------------------------------------------------------------------------------

local function seq(cursor) return tonumber(string.match(cursor, '^%d+')) end
local function cursor_of(frame) return string.match(frame, '^%d|(%d+%-%d+)|') end

local function tombstone(frame)
  local head = string.match(frame, '^(%d|[^|]*|[^|]*|[^|]*|[^|]*|)')
  return head .. 't|'
end

-- A loss never expires: it is owed to whoever has not read it.
local function expired(frame, now)
  local expires, flag, body = string.match(frame, '^%d|[^|]*|[^|]*|[^|]*|(%d+)|(%a)[^|]*|(.?)')
  if flag == 't' then return body == '' end
  return tonumber(expires) <= now
end

-- What stands where something was lost. The time makes its cursor one that no other entry has.
local function loss(seq_, lost, now)
  local cursor = int(seq_) .. '-' .. int(lost % 4294967295 + 1)
  local nobody = '00000000-0000-0000-0000-000000000000'
  return cursor, '1|' .. cursor .. '|' .. nobody .. '|' .. int(now) .. '|9007199254740991|t|lost'
end

local function is_loss(frame) return string.find(frame, '^%d|[^|]*|[^|]*|[^|]*|%d+|t|.') ~= nil end

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

-- Histories --------------------------------------------------------------------------------------

-- A node that came back empty or with older data, or that others have left behind, is not believed:
-- a caller says which history it knows (its id, and how much was accepted under it at least), and
-- where another is served, nothing is read, written or trimmed. It settles that first. Key and arguments
-- of that come after those of the function itself.
local function believed(call)
  return function(K, A)
    local key, accepted, id = table.remove(K), tonumber(table.remove(A)), table.remove(A)
    local here_id, here_accepted, lost = unpack(redis.call('HMGET', key, 'i', 'n', 'm'))
    if here_id ~= id or tonumber(here_accepted) < accepted then return { 'elsewhere' } end
    local history = { key = key, accepted = tonumber(here_accepted), lost = tonumber(lost or 0) }
    local answer = call(K, A, history)
    return { 'here', int(history.accepted), answer }
  end
end

local function accept(history)
  history.accepted = redis.call('HINCRBY', history.key, 'n', 1)
end

-- Says which history is here, and marks it when it is not the one that the caller knows, nor one that
-- was marked since: {what, id, accepted, lost, missing}, what being same, marked or rewound. It always
-- writes, so that a WAIT that follows covers all that was accepted before.
local function settle(K, A)
  local history = unpack(K)
  local known, known_accepted, known_lost, fresh = unpack(A)
  known_accepted, known_lost = tonumber(known_accepted), tonumber(known_lost)

  local id, accepted, lost = unpack(redis.call('HMGET', history, 'i', 'n', 'm'))
  accepted, lost = tonumber(accepted or 0), tonumber(lost or 0)
  local what, missing = 'same', 0
  if known == '' then
    id = id or fresh
  elseif id ~= known and id and lost > known_lost then
    what = 'marked'
  elseif id ~= known or accepted < known_accepted then
    what, missing = 'rewound', known_accepted - (id == known and accepted or 0)
    id, accepted = fresh, math.max(accepted, known_accepted)
    lost = math.max(now_ms(), known_lost + 1, lost + 1)
    redis.call('HSET', history, 'm', int(lost))
  end
  redis.call('HSET', history, 'i', id, 'n', int(accepted))
  return { what, id, int(accepted), int(lost), int(missing) }
end
redis.register_function('c3_settle', settle)

-- Repetitions ------------------------------------------------------------------------------------

-- Remembers what an idempotency key stands for, or answers what it stood for before. `former`, if there is
-- one, is the key to versions that took those of all callers for one: what they accepted is recognised, and
-- they recognise what is accepted here, told apart by a 0 before its cursor.
local function remember(dedup, former, cursor, hash, seconds)
  local value = cursor .. '|' .. hash
  local before = redis.call('SET', dedup, value, 'NX', 'GET', 'EX', seconds)
  if before then
    -- A write, so that a WAIT that follows covers the first attempt too.
    redis.call('EXPIRE', dedup, seconds)
    local accepted, of = string.match(before, '^(%d+%-%d+)|(.*)$')
    if of ~= hash then return { 'mismatch' } end
    return { 'repeated', accepted }
  end
  before = former and redis.call('SET', former, '0' .. value, 'NX', 'GET', 'EX', seconds)
  local accepted, of = string.match(before or '', '^([1-9]%d*%-%d+)|(.*)$')
  if of ~= hash then return nil end
  redis.call('DEL', dedup)
  redis.call('EXPIRE', former, seconds)
  return { 'former', accepted }
end

-- Forgets what was just remembered.
local function unremember(dedup, former, cursor, hash)
  redis.call('DEL', dedup)
  if former and redis.call('GET', former) == '0' .. cursor .. '|' .. hash then redis.call('DEL', former) end
end

