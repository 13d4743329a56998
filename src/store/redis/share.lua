-- What this gateway knows of rate domains, for what the others know.
--
-- KEYS: the gateways, what cools, this gateway's draws.
-- ARGV: this gateway, what sets of draws begin with, then for each class of a domain: its name, how
--       many milliseconds it cools for still (0: it does not), its draws (one word).
-- Returns  { name, until (ms of the server's clock), for how many ms still, ... }
--          { gateway, name, draws, ... } of the others
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
-- Longer than any provider closes an account for; and how far two clocks' words of one deadline differ.
local LONGEST, RETOLD = 2764800000, 50

local me, begins = ARGV[1], ARGV[2]
local drawn = {}
for index = 3, #ARGV, 3 do
    local name, cools = ARGV[index], math.min(tonumber(ARGV[index + 1]), LONGEST)
    if cools > 0 then
        local known = tonumber(redis.call('HGET', KEYS[2], name) or '0')
        if now_ms + cools > known + RETOLD then redis.call('HSET', KEYS[2], name, text(now_ms + cools)) end
    end
    drawn[#drawn + 1] = name
    drawn[#drawn + 1] = ARGV[index + 2]
    if #drawn >= 200 or index + 3 > #ARGV then
        redis.call('HSET', KEYS[3], unpack(drawn))
        drawn = {}
    end
end
redis.call('PEXPIRE', KEYS[2], text(LONGEST))
redis.call('PEXPIRE', KEYS[3], 30000)

local cooling = {}
local all = redis.call('HGETALL', KEYS[2])
for index = 1, #all, 2 do
    local till = tonumber(all[index + 1])
    if till <= now_ms then
        redis.call('HDEL', KEYS[2], all[index])
    else
        cooling[#cooling + 1] = all[index]
        cooling[#cooling + 1] = till
        cooling[#cooling + 1] = till - now_ms
    end
end

local elsewhere = {}
for _, gateway in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if gateway ~= me then
        local draws = redis.call('HGETALL', begins .. gateway)
        for index = 1, #draws, 2 do
            elsewhere[#elsewhere + 1] = gateway
            elsewhere[#elsewhere + 1] = draws[index]
            elsewhere[#elsewhere + 1] = draws[index + 1]
        end
    end
end
return { cooling, elsewhere }
