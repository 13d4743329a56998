-- What every script begins with. Time is the server's, so that gateways need not agree on theirs.
local time = redis.call('TIME')
local now, micros = tonumber(time[1]), tonumber(time[2])
local now_ms = now * 1000 + math.floor(micros / 1000)

-- A number as the server reads it: 1e15 is none.
local function text(number) return string.format('%.0f', number) end
-- Nor is -0.
local function minus(amount) return amount == '0' and '0' or '-' .. amount end

-- A window is a hash: what each of 61 seconds took under the second modulo 61, their sum `n`, and the
-- second `t` that it was rolled to.
local function roll(key)
    local head = redis.call('HMGET', key, 'n', 't')
    if not head[2] then return 0, now end
    local sum, at = tonumber(head[1]), tonumber(head[2])
    if at >= now then
        -- The server's clock went back. By little: the later second goes on. By much: all of it counts
        -- as taken now, which is too strict for a minute and never too kind.
        if at - now > 2 then
            redis.call('DEL', key)
            redis.call('HSET', key, 'n', text(sum), 't', now, now % 61, text(sum))
            redis.call('EXPIRE', key, 130)
            at = now
        end
        return sum, at
    end
    if now - at >= 61 then
        redis.call('DEL', key)
        return 0, now
    end
    local slots = {}
    for second = at + 1, now do slots[#slots + 1] = second % 61 end
    for _, gone in ipairs(redis.call('HMGET', key, unpack(slots))) do
        if gone then sum = sum - tonumber(gone) end
    end
    redis.call('HDEL', key, unpack(slots))
    redis.call('HSET', key, 'n', text(sum), 't', now)
    return sum, now
end

local function book(key, at, amount)
    redis.call('HINCRBY', key, at % 61, amount)
    redis.call('HINCRBY', key, 'n', amount)
    redis.call('HSET', key, 't', at)
    redis.call('EXPIRE', key, 130)
end

-- A budget lives for a day after its period; one without an end, for five weeks after it was used last.
local function keep(key, till)
    if #till > 11 then
        redis.call('EXPIRE', key, 3024000)
    else
        -- By the server's clock: a gateway whose clock is behind must not make it forget at once.
        redis.call('EXPIREAT', key, text(math.max(tonumber(till) + 86400, now + 3600)))
    end
end

-- A budget is a hash: spent `p`, reserved `r`; of what was spent, what each gateway's ledger `S` answers
-- for, `s:S`, and what was only learned from that ledger, `o:S`. The ledger without a name is everybody's
-- and answers for all. What comes in late was learned already.
local function answers_for(ledger) return ledger == '' and 'p' or 's:' .. ledger end

local function add(key, ledger, amount)
    redis.call('HINCRBY', key, 'p', amount)
    if ledger ~= '' then redis.call('HINCRBY', key, 's:' .. ledger, amount) end
end

local function spend(key, ledger, amount, late)
    add(key, ledger, amount)
    if not late or tonumber(amount) <= 0 then return end
    local known = tonumber(redis.call('HGET', key, 'o:' .. ledger) or '0')
    local twice = text(math.min(known, tonumber(amount)))
    if twice ~= '0' then
        redis.call('HINCRBY', key, 'o:' .. ledger, minus(twice))
        add(key, ledger, minus(twice))
    end
end

local function release(key, amount)
    if redis.call('HINCRBY', key, 'r', minus(amount)) < 0 then redis.call('HSET', key, 'r', 0) end
end

local function lower(key, amount)
    if redis.call('DECRBY', key, amount) <= 0 then redis.call('DEL', key) end
end

-- Where a budget stands: used, spent.
local function stands(key)
    local sums = redis.call('HMGET', key, 'p', 'r')
    local spent = tonumber(sums[1] or '0')
    return spent + tonumber(sums[2] or '0'), spent
end

-- Gives back what a reservation still holds, and forgets it; `charged` hears of what was charged already.
local function let_go(record, charged)
    local fields = redis.call('HGETALL', record)
    for index = 1, #fields, 2 do
        local kind, key = string.sub(fields[index], 1, 1), string.sub(fields[index], 2)
        if #key > 0 and kind == 'b' then release(key, fields[index + 1]) end
        if #key > 0 and kind == 'l' then lower(key, fields[index + 1]) end
        if #key > 0 and kind == 'c' and charged then charged(key, fields[index + 1]) end
    end
    return redis.call('DEL', record)
end

-- A window took `reserved` in a second, and it came to `actual`. Returns the sum.
local function correct(key, reserved, actual, second)
    local sum, at = roll(key)
    local more = tonumber(actual) - tonumber(reserved)
    if more > 0 then
        book(key, at, text(more))
        return sum + more
    end
    if more == 0 or second > at or second < at - 60 then return sum end
    local back = text(math.min(-more, tonumber(redis.call('HGET', key, second % 61) or '0')))
    redis.call('HINCRBY', key, second % 61, minus(back))
    redis.call('HINCRBY', key, 'n', minus(back))
    return sum - tonumber(back)
end
