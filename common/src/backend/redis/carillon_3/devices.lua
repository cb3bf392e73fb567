-- Devices ----------------------------------------------------------------------------------------

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

-- A connection without a device, or what those that ended have left.
local function is_anonymous(name) return string.sub(name, 1, 1) == '~' end

local function has(d, flag) return string.find(d.flags, flag, 1, true) ~= nil end
local function with(d, flag) if not has(d, flag) then d.flags = d.flags .. flag end end
local function without(d, flag) d.flags = string.gsub(d.flags, flag, '') end

-- When devices acked ---------------------------------------------------------------------------

local MARKS = 32

-- A device's marks are under its name, those of all anonymous connections under one.
local function marks_of(name) return is_anonymous(name) and '~' or name end

-- A device that is new begins after a number: what came before it is not for it. Of anonymous ones the first.
local function begin_marks(marks, name, acked)
  name = marks_of(name)
  if not redis.call('HGET', marks, name) then redis.call('HSET', marks, name, int(seq(acked)) .. '||') end
end

-- Notes that a device's acks have come to a number.
local function mark(marks, name, number, now)
  name = marks_of(name)
  local begin, cut, noted = string.match(redis.call('HGET', marks, name) or '', '^(%d*)|(c?)|(.*)$')
  noted = noted or ''
  -- Another anonymous connection may have come further.
  if number <= tonumber(string.match(noted, '(%d+):%d+$') or 0) then return false end
  local fresh = begin == nil
  local entry = int(number) .. ':' .. int(now)
  noted = noted == '' and entry or noted .. ',' .. entry
  if select(2, string.gsub(noted, ',', '')) >= MARKS then
    noted, cut = string.match(noted, '^[^,]*,(.*)$'), 'c'
  end
  redis.call('HSET', marks, name, (begin or '') .. '|' .. (cut or '') .. '|' .. noted)
  return fresh
end

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

-- The least of the anonymous connections' records, ended ones included.
local function least_anonymous(all)
  local anonymous = {}
  for _, d in ipairs(all) do
    if is_anonymous(d.name) then anonymous[#anonymous + 1] = d end
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
  if is_anonymous(name) then
    -- Anonymous connections share one device: at least once, so from the least of them.
    local least, anonymous = least_anonymous(all)
    if least then d.acked, d.flags = least.acked, least.flags end
    for _, other in ipairs(anonymous) do
      if seq(other.broadcast) < seq(d.broadcast) then d.broadcast = other.broadcast end
    end
  end
  return d
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

-- What is noted of those that left without having been read.
local function note(cursor, device, reason, now)
  return cursor .. '|' .. device .. '|' .. reason .. '|' .. int(now)
end

local NOTES = 256

local function note_left(left, notes)
  if #notes == 0 then return end
  in_pieces('RPUSH', left, notes)
  redis.call('LTRIM', left, -NOTES, -1)
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

