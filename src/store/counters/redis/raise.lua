-- A ledger knows that at least so much was spent.
--
-- KEYS: the epoch, a key a budget.
-- ARGV: whose ledger ('': everybody's), the epoch to begin where there is none ('': not yet), then for each budget: spent
--       in all, until (s).
-- Returns the epoch ('' where there is none).
local ledger = ARGV[1]
for index = 2, #KEYS do
    local key, known, till = KEYS[index], tonumber(ARGV[index * 2 - 1]), ARGV[index * 2]
    local more = known - tonumber(redis.call('HGET', key, answers_for(ledger)) or '0')
    if more > 0 then
        redis.call('HINCRBY', key, 'o:' .. ledger, text(more))
        add(key, ledger, text(more))
        keep(key, till)
    end
end
local epoch = redis.call('GET', KEYS[1])
if not epoch and ARGV[2] ~= '' then
    redis.call('SET', KEYS[1], ARGV[2])
    epoch = ARGV[2]
end
return epoch or ''
