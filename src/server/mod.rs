//! Assembly: the only place that builds things.
