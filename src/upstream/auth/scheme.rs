//! How keys are sent.

/// How the upstream key is sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AuthScheme {
    /// `x-api-key: KEY`
    XApiKey,
    /// `authorization: Bearer KEY`
    Bearer,
    /// `api-key: KEY` (Azure)
    ApiKey,
    /// `x-goog-api-key: KEY` (Google AI)
    GoogApiKey,
    /// `?key=KEY` (Google's older way); the path that carries it is never written to a log.
    QueryKey,
    /// AWS Signature Version 4 over the bytes that are sent.
    SigV4,
    /// `authorization: Bearer TOKEN`, the token bought with a Google service account's key.
    GoogleServiceAccount,
    /// `authorization: Bearer TOKEN`, the token bought with an Entra ID client's secret (Azure).
    AzureEntra,
}

impl AuthScheme {
    /// Every scheme, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::XApiKey,
        Self::Bearer,
        Self::ApiKey,
        Self::GoogApiKey,
        Self::QueryKey,
        Self::SigV4,
        Self::GoogleServiceAccount,
        Self::AzureEntra,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::XApiKey => "x-api-key",
            Self::Bearer => "bearer",
            Self::ApiKey => "api-key",
            Self::GoogApiKey => "goog-api-key",
            Self::QueryKey => "query-key",
            Self::SigV4 => "sigv4",
            Self::GoogleServiceAccount => "google-service-account",
            Self::AzureEntra => "azure-entra",
        }
    }
}
