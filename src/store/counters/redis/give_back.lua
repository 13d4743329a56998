-- So much of what was reserved is not needed after all; the rest stays reserved.
--
-- KEYS: the reservation's record, a key a part.
-- ARGV: for each part: rule, how much, not looked at, second.
-- Returns  ok|unknown used spent used spent ...
local record = KEYS[1]
local known = redis.call('HEXISTS', record, 'g') == 1

-- No more than is held: what was charged meanwhile is corrected when it is settled.
local function part(field, amount)
    local held = known and redis.call('HGET', record, field) or '0'
    local back = text(math.min(tonumber(held), tonumber(amount)))
    if back ~= '0' then redis.call('HINCRBY', record, field, minus(back)) end
    return back
end

local answer = { known and 'ok' or 'unknown' }
for index = 2, #KEYS do
    local base = 1 + (index - 2) * 4
    local key, rule, amount = KEYS[index], ARGV[base], ARGV[base + 1]
    local used, spent = 0, 0
    if rule == 'w' then
        if known then
            used = correct(key, amount, '0', tonumber(ARGV[base + 3]))
        else
            used = roll(key)
        end
    elseif rule == 'l' then
        lower(key, part('l' .. key, amount))
        used = tonumber(redis.call('GET', key) or '0')
    elseif rule == 'm' then
        used = redis.call('ZCARD', key)
    else
        release(key, part('b' .. key, amount))
        used, spent = stands(key)
    end
    answer[#answer + 1] = used
    answer[#answer + 1] = spent
end
return answer
