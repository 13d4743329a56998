//! What we may send to: providers, endpoints, keys, and the domains that tie them together.

mod params;

pub use params::{
    AuthScheme, CacheLife, Cooling, Credentials, EndpointParams, HttpVersion, ModelParams, Overload,
    PassRule, ProviderParams, Timeouts,
};
