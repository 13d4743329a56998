//! Names from the configuration, and ids that we mint.

use std::{borrow::Borrow, fmt, sync::Arc};

use uuid::Uuid;

/// A cheap-to-clone name that cannot be mistaken for another kind of name.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as written in the configuration.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Who holds a token that we accept.
    CallerName
);
name!(
    /// The trust boundary: session ids, hard pins and object ids are scoped by it.
    TenantId
);
name!(
    /// A company or host: base URL, dialect family, auth scheme.
    ProviderName
);
name!(
    /// One choosable target: provider and upstream key.
    EndpointName
);
name!(
    /// A rate, cache or failure domain.
    DomainName
);
name!(
    /// A model's name, as a caller or as a provider writes it.
    ModelName
);

name!(
    /// Names a virtual key for good, whatever it is called; not a secret.
    KeyId
);
name!(
    /// A team within an organisation.
    TeamName
);
name!(
    /// A word that keys are marked with, such as `env=ci`.
    Tag
);

/// Our own id of a request; sorts by time. Shown to the client as `x-warmkey-request-id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A fresh id.
    #[must_use]
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wk_{}", self.0.simple())
    }
}
