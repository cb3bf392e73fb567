-- Leases -----------------------------------------------------------------------------------------

local function lease_take(K, A)
  local lease, gateways, generations = unpack(K)
  local gateway, ttl_ms = unpack(A)

  local now = now_ms()
  local generation = int(math.max(now, tonumber(redis.call('GET', generations) or 0) + 1))
  redis.call('SET', generations, generation)
  redis.call('SET', lease, generation, 'PX', ttl_ms)
  redis.call('ZADD', gateways, int(now + tonumber(ttl_ms)), gateway .. '|' .. generation)
  return generation
end
redis.register_function('c3_lease_take', lease_take)

local function lease_renew(K, A)
  local lease, gateways = unpack(K)
  local gateway, generation, ttl_ms = unpack(A)

  if redis.call('GET', lease) ~= generation then return 0 end
  redis.call('PEXPIRE', lease, ttl_ms)
  redis.call('ZADD', gateways, int(now_ms() + tonumber(ttl_ms)), gateway .. '|' .. generation)
  return 1
end
redis.register_function('c3_lease_renew', lease_renew)

local function lease_drop(K, A)
  local lease, gateways = unpack(K)
  local gateway, generation = unpack(A)

  if redis.call('GET', lease) == generation then redis.call('DEL', lease) end
  redis.call('ZREM', gateways, gateway .. '|' .. generation)
  return 1
end
redis.register_function('c3_lease_drop', lease_drop)

-- Ends the lease of a gateway that is known to be dead. It stays among the ended until it is reaped.
local function lease_end(K, A)
  local lease, gateways = unpack(K)
  local gateway, generation = unpack(A)

  if redis.call('GET', lease) == generation then redis.call('DEL', lease) end
  redis.call('ZADD', gateways, 'XX', 0, gateway .. '|' .. generation)
  return 1
end
redis.register_function('c3_lease_end', lease_end)

-- Whose lease holds, and whose has ended: {live, ended}, each gateway|generation.
local function lease_list(K)
  local gateways = unpack(K)

  local now = int(now_ms())
  return {
    redis.call('ZRANGEBYSCORE', gateways, '(' .. now, '+inf'),
    redis.call('ZRANGEBYSCORE', gateways, '-inf', now),
  }
end
redis.register_function('c3_lease_list', lease_list)
