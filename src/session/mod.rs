//! Which conversation a request belongs to.
