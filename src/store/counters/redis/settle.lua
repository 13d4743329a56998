-- What was reserved came to this.
--
-- KEYS: the reservation's record, a key a settlement.
-- ARGV: 1 when it comes late (it could not be delivered at first), what sets of records begin with,
--       then for each settlement: rule, reserved, actual, second.
-- Returns  ok|unknown used spent used spent ...
-- Unknown: it was settled already, or the server lost it. Then nothing changes; the ledger knows.
local record, late = KEYS[1], ARGV[1] == '1'
local about = redis.call('HMGET', record, 'g', 's')
local gateway, ledger = about[1], about[2]

local function charge(key, actual)
    local has = redis.call('HMGET', record, 'b' .. key, 'c' .. key)
    redis.call('HDEL', record, 'b' .. key, 'c' .. key)
    if has[1] then release(key, has[1]) end
    -- Its gateway was taken for dead, and this charged already.
    local charged = tonumber(has[2] or '0')
    local more = tonumber(actual) - charged
    spend(key, ledger, more < 0 and minus(text(-more)) or text(more), late or charged > 0)
end

local answer = { gateway and 'ok' or 'unknown' }
for index = 2, #KEYS do
    local base = 3 + (index - 2) * 4
    local key, rule, actual = KEYS[index], ARGV[base], ARGV[base + 2]
    local used, spent = 0, 0
    if rule == 'w' then
        if gateway then
            used = correct(key, ARGV[base + 1], actual, tonumber(ARGV[base + 3]))
        else
            used = roll(key)
        end
    elseif rule == 'l' then
        local has = gateway and redis.call('HGET', record, 'l' .. key)
        if has then
            lower(key, has)
            redis.call('HDEL', record, 'l' .. key)
        end
        used = tonumber(redis.call('GET', key) or '0')
    elseif rule == 'm' then
        used = redis.call('ZCARD', key)
    else
        if gateway then charge(key, actual) end
        used, spent = stands(key)
    end
    answer[#answer + 1] = used
    answer[#answer + 1] = spent
end

if gateway then
    -- What was not spoken of came to nothing.
    let_go(record, function(key, amount) spend(key, ledger, minus(amount), false) end)
    redis.call('SREM', ARGV[2] .. gateway, record)
end
return answer
