-- Its own gateway does not know of this reservation: the server lost the settlement (it was replaced by one
-- that lagged behind, or died before it wrote it down). What is held is given back; what was spent, the
-- ledger knows.
--
-- KEYS: the reservation's record, the gateway's set of records.
local record = KEYS[1]
redis.call('SREM', KEYS[2], record)
return let_go(record)
