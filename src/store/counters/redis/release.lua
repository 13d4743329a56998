-- Its own gateway does not know of this reservation: the server lost the settlement (it was replaced by one
-- that lagged behind, or died before it wrote it down). What is held is given back; what was spent, the
-- ledger knows.
--
-- KEYS: the reservation's record, the gateway's set of records.
local record = KEYS[1]
redis.call('SREM', KEYS[2], record)
local fields = redis.call('HGETALL', record)
for index = 1, #fields, 2 do
    local kind, key = string.sub(fields[index], 1, 1), string.sub(fields[index], 2)
    if #key > 0 and kind == 'b' then release(key, fields[index + 1]) end
    if #key > 0 and kind == 'l' then lower(key, fields[index + 1]) end
end
return redis.call('DEL', record)
