-- Requests may go up in another dialect than they came in: `dialect` is the client's, this one is what was
-- spoken with the provider. NULL in older rows, where both were the same, and where nobody was asked.
ALTER TABLE receipts ADD COLUMN provider_dialect text
