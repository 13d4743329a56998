//! JSON read in place: one walk over the bytes, no document, no allocation.
//!
//! `marks` finds the structural characters with SIMD, 64 bytes at a time; `walk` steps over them
//! and checks what it steps over; `text` decodes and encodes the few strings we need.
//!
//! Invariant: a walk ends in an error unless brackets match and strings are closed, and at every
//! level that it visits commas, colons, keys and scalars are in place too. Inside values that are
//! skipped only brackets, strings and the depth are checked: the provider reads those, not we.

mod marks;
mod text;
mod walk;

pub(crate) use text::{count, decode, decode_id, is_blank, quoted};
pub(crate) use walk::{Fault, Key, Kind, Walker};
