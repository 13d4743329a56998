//! A provider that never bills, and agents to drive it.
