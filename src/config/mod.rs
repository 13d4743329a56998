//! Settings: TOML as written, lowered to the checked `Params` of each part.
