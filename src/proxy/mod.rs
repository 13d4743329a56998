//! The six verbs; the only place that knows Pingora's `Session`.
