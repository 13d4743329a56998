//! Everything configured, immutable, behind one swap.
