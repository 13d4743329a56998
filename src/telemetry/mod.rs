//! Metric families and the log.
