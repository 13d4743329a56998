-- This gateway lives; and what a gateway holds that does not, is charged.
--
-- KEYS: the gateways, the epoch.
-- ARGV: gateway, how long one lives without a beat (ms), how many records to charge at most, what sets
--       of records begin with.
-- Returns  epoch ('': the server has lost its memory), records charged, gateways alive
local gateways, me, begins = KEYS[1], ARGV[1], ARGV[4]
local ttl = tonumber(ARGV[2])

-- Where nobody was heard of for a while, it was the server who was away: nobody is dead for that.
local last = redis.call('ZREVRANGE', gateways, 0, 0, 'WITHSCORES')
if last[2] and math.abs(now_ms - tonumber(last[2])) > ttl / 2 then
    for _, gateway in ipairs(redis.call('ZRANGE', gateways, 0, -1)) do
        redis.call('ZADD', gateways, text(now_ms), gateway)
    end
end
redis.call('ZADD', gateways, text(now_ms), me)
redis.call('PEXPIRE', gateways, 86400000)

local function charge(record, dead)
    local has = redis.call('HMGET', record, 'g', 's')
    -- It went on under another gateway's name.
    if has[1] ~= dead then return 0 end
    local fields = redis.call('HGETALL', record)
    for index = 1, #fields, 2 do
        local kind, key, amount = string.sub(fields[index], 1, 1), string.sub(fields[index], 2), fields[index + 1]
        if #key > 0 and kind == 'b' then
            release(key, amount)
            spend(key, has[2], amount, true)
            redis.call('HDEL', record, fields[index])
            redis.call('HINCRBY', record, 'c' .. key, amount)
        elseif #key > 0 and kind == 'l' then
            lower(key, amount)
            redis.call('HDEL', record, fields[index])
        end
    end
    -- Should it only have been cut off, it settles by the difference.
    redis.call('EXPIRE', record, 3600)
    return 1
end

local charged = 0
local most = tonumber(ARGV[3])
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', gateways, '-inf', text(now_ms - ttl), 'LIMIT', 0, 8)) do
    local held = begins .. dead
    for _, record in ipairs(redis.call('SPOP', held, math.max(most - charged, 0))) do
        charged = charged + charge(record, dead)
    end
    if redis.call('EXISTS', held) == 0 then redis.call('ZREM', gateways, dead) end
end

return { redis.call('GET', KEYS[2]) or '', charged, redis.call('ZCARD', gateways) }
