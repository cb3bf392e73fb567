-- Leases -----------------------------------------------------------------------------------------

-- KEYS lease gateways generations | ARGV gateway ttl_ms
local function lease_take(K, A)
  local now = now_ms()
  local generation = int(math.max(now, tonumber(redis.call('GET', K[3]) or 0) + 1))
  redis.call('SET', K[3], generation)
  redis.call('SET', K[1], generation, 'PX', A[2])
  redis.call('ZADD', K[2], int(now + tonumber(A[2])), A[1] .. '|' .. generation)
  return generation
end

-- KEYS lease gateways | ARGV gateway generation ttl_ms
local function lease_renew(K, A)
  if redis.call('GET', K[1]) ~= A[2] then return 0 end
  redis.call('PEXPIRE', K[1], A[3])
  redis.call('ZADD', K[2], int(now_ms() + tonumber(A[3])), A[1] .. '|' .. A[2])
  return 1
end

-- KEYS lease gateways | ARGV gateway generation
local function lease_drop(K, A)
  if redis.call('GET', K[1]) == A[2] then redis.call('DEL', K[1]) end
  redis.call('ZREM', K[2], A[1] .. '|' .. A[2])
  return 1
end

-- Ends the lease of a gateway that is known to be dead. It stays among the ended until it is reaped.
-- KEYS lease gateways | ARGV gateway generation
local function lease_end(K, A)
  if redis.call('GET', K[1]) == A[2] then redis.call('DEL', K[1]) end
  redis.call('ZADD', K[2], 'XX', 0, A[1] .. '|' .. A[2])
  return 1
end

-- Whose lease holds, and whose has ended: {live, ended}, each gateway|generation.
-- KEYS gateways
local function lease_list(K)
  local now = int(now_ms())
  return {
    redis.call('ZRANGEBYSCORE', K[1], '(' .. now, '+inf'),
    redis.call('ZRANGEBYSCORE', K[1], '-inf', now),
  }
end

