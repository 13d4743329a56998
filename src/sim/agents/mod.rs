//! Agents that drive a gateway.
