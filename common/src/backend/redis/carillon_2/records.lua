#!lua name=carillon_2
-- The delivery protocol, version 2. Every function touches the keys of one partition only (one
-- hash tag, so one slot) and runs atomically. A change of arguments or layout is carillon_3 beside
-- this one; nothing here is changed in place once released. Frames and hints start with the version of
-- their layout: 1 is written, and a later one whose head is the same is passed on (version.rs).
--
-- cursor    seq-nonce           frame   1|cursor|id|stored|expires|flag|body   (flag n, followed by the span of
--           its sender where that is traced, or t: tombstone; one with a body is a loss: what stood here is
--           gone, and whoever reads it is told)
-- history   of a partition:     i  id   n  how much was accepted under it   m  ms of its last loss
-- user hash l  last cursor      f       highest fence: it is there once the user has ever connected
--           x  hour of the last renewal       m  the last loss that the inbox shows
--           s  up to where the looking for expired ones has come, while the inbox is full
--           d:<device>          acked|seen (s)|broadcast|flags   (flags: a has acked, m moved by a full inbox)
--           <device>            =name, ~session (an anonymous connection), ~ (those that ended, folded)
-- buried    the tombstones of an inbox by their numbers
-- presence  <device>/<session>  gateway|generation|fence|opened  (device of an anonymous one: ~)
-- end       cursor|ms: where a channel's log stood, which outlives the log
-- subs      d/<device>/<channel> cursor       r/<session>/<channel> cursor|ms when freed, 0 while held
--           u/<channel>         ms when a client last asked for it

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

local function int(n) return string.format('%.0f', n) end
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

local function save_devices(user, devices)
  local fields = {}
  for _, d in ipairs(devices) do
    fields[#fields + 1] = 'd:' .. d.name
    fields[#fields + 1] = pack_device(d)
  end
  in_pieces('HSET', user, fields)
end

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
    local device, session = string.match(field, '^([^/]*)/(.*)$')
    set[device == '~' and '~' .. session or device] = true
  end
  return set
end

-- The devices that hold trimming back: the connected and the most recently seen ones, each for a while.
local function counting(all, presence, most, ttl_s, now)
  local live, kept, since = nil, {}, now / 1000 - ttl_s
  for _, d in ipairs(all) do
    local recent = d.seen >= since
    if not recent or #all > most then
      live = live or connected(presence)
      d.rank = live[d.name] and d.seen + now or d.seen
    end
    if recent or live[d.name] then kept[#kept + 1] = d end
  end
  if #kept <= most then return kept end
  -- Numbers alone are sorted without calling back.
  local ranks, first = {}, {}
  for i, d in ipairs(kept) do ranks[i] = d.rank end
  table.sort(ranks)
  local least = ranks[#ranks - most + 1]
  for _, d in ipairs(kept) do
    if d.rank > least then first[#first + 1] = d end
  end
  for _, d in ipairs(kept) do
    if d.rank == least and #first < most then first[#first + 1] = d end
  end
  return first
end

local function furthest_behind(devices)
  local least, at
  for _, d in ipairs(devices) do
    local acked = seq(d.acked)
    if not least or acked < at then least, at = d, acked end
  end
  return least
end

local function note(cursor, device, reason, now)
  return cursor .. '|' .. device .. '|' .. reason .. '|' .. int(now)
end

local function note_left(left, notes)
  if #notes == 0 then return end
  in_pieces('RPUSH', left, notes)
  redis.call('LTRIM', left, -256, -1)
end

-- Those of whom nothing is known any more, so that at most so many that are not connected are left:
-- the ones that were not seen for the longest, and what anonymous connections left last of all.
local function to_forget(all, presence, most)
  if #all <= most then return {} end
  local live, idle, gone = connected(presence), {}, {}
  for _, d in ipairs(all) do
    if not live[d.name] then idle[#idle + 1] = d end
  end
  table.sort(idle, function(a, b)
    if (a.name == '~') ~= (b.name == '~') then return b.name == '~' end
    return a.seen < b.seen
  end)
  for i = 1, #idle - most do gone[i] = idle[i].name end
  return gone
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

