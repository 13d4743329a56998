//! The second listener: health, metrics, status, actions.
