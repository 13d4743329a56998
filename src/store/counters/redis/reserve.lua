-- Takes everything that a request takes, or nothing.
--
-- KEYS: the reservation's record, the gateway's set of records, the epoch, the gateways, a key a take.
-- ARGV: epoch, gateway, token of this call, whose books, then for each take: rule, amount, limit,
--       1 for anyway, until (s) or idle (ms), member.
-- Returns  ok second used spent used spent ...
--          no index used spent micros (until it may fit; -1: nobody knows)
--          forgot      the server lost its memory since this gateway spoke to it last
--          late        the caller has given this call up already
local record, held, gateways = KEYS[1], KEYS[2], KEYS[4]
local token = ARGV[3]
-- Doubles count exactly up to 2^53; beyond, the last digits are lost, and far beyond nothing is let in.
local MOST = 4e18

-- Microseconds until so much has left the window.
local function fits_after(key, at, excess)
    local seconds = {}
    for second = at - 60, at do seconds[#seconds + 1] = second % 61 end
    for index, amount in ipairs(redis.call('HMGET', key, unpack(seconds))) do
        excess = excess - tonumber(amount or '0')
        if excess <= 0 then return (at - 61 + index + 61 - now) * 1000000 - micros end
    end
    return -1
end

if redis.call('GET', KEYS[3]) ~= ARGV[1] then return { 'forgot' } end
if redis.call('HGET', record, 'x') == token then return { 'late' } end

local takes, mine = {}, {}
for index = 5, #KEYS do
    local base = 5 + (index - 5) * 6
    local key, rule = KEYS[index], ARGV[base]
    local take = {
        key = key, rule = rule, text = ARGV[base + 1], amount = tonumber(ARGV[base + 1]),
        extra = ARGV[base + 4], member = ARGV[base + 5], spent = 0,
    }
    local limit, anyway = tonumber(ARGV[base + 2]), ARGV[base + 3] == '1'
    if rule == 'w' then
        take.used, take.at = roll(key)
    elseif rule == 'l' then
        take.used = tonumber(redis.call('GET', key) or '0')
    elseif rule == 'm' then
        redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now_ms - tonumber(take.extra)))
        take.used = redis.call('ZCARD', key)
        if redis.call('ZSCORE', key, take.member) then take.known, take.amount = true, 0 end
    else
        take.used, take.spent = stands(key)
    end
    -- One counter may be taken from twice.
    local standing = take.used + (mine[key] or 0)
    mine[key] = (mine[key] or 0) + take.amount
    take.used = standing + take.amount
    if not take.known and ((take.used > limit and not anyway) or take.used > MOST) then
        local after = -1
        if rule == 'w' and take.amount <= limit then
            after = fits_after(key, take.at, standing + take.amount - limit)
        end
        return { 'no', index - 5, standing, take.spent, after }
    end
    takes[#takes + 1] = take
end

local answer = { 'ok', now }
for _, take in ipairs(takes) do
    local key = take.key
    if take.rule == 'w' then
        book(key, take.at, take.text)
    elseif take.rule == 'l' then
        redis.call('INCRBY', key, take.text)
        redis.call('EXPIRE', key, 86400)
        redis.call('HINCRBY', record, 'l' .. key, take.text)
    elseif take.rule == 'm' then
        redis.call('ZADD', key, text(now_ms), take.member)
        redis.call('PEXPIRE', key, take.extra)
    else
        redis.call('HINCRBY', key, 'r', take.text)
        redis.call('HINCRBY', record, 'b' .. key, take.text)
        keep(key, take.extra)
    end
    answer[#answer + 1] = take.used
    answer[#answer + 1] = take.spent
end

redis.call('HSET', record, 'g', ARGV[2], 'k', token, 's', ARGV[4])
redis.call('HINCRBY', record, 'n', 1)
redis.call('EXPIRE', record, 86400)
redis.call('SADD', held, record)
redis.call('EXPIRE', held, 86400)
redis.call('ZADD', gateways, text(now_ms), ARGV[2])
return answer
