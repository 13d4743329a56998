-- Takes back a call of reserve whose answer never came: where it happened, what it holds is given back;
-- where it did not, it will not.
--
-- KEYS: the reservation's record.
-- ARGV: the token of the call, what sets of records begin with.
local record = KEYS[1]
local has = redis.call('HMGET', record, 'g', 'k', 'n')
if not has[1] then
    redis.call('HSET', record, 'x', ARGV[1])
    redis.call('EXPIRE', record, 60)
elseif has[2] ~= ARGV[1] then
    redis.call('HSET', record, 'x', ARGV[1])
elseif has[3] == '1' then
    let_go(record)
    redis.call('SREM', ARGV[2] .. has[1], record)
end
-- Otherwise more was reserved before under the same id: when that is settled, this is, too.
return 'ok'
