//! Where credentials come from that do not stand in the configuration as they are sent.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::google::ServiceAccount;
use crate::types::{KeyDigest, Secret};

/// AWS credentials, as SigV4 signs with them.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// `AKIA...`, or `ASIA...` where they are temporary. No secret by itself.
    pub id: String,
    /// What the signature is made with; never sent.
    pub secret: Secret,
    /// Sent along where they are temporary.
    pub session: Option<Secret>,
}

/// Where AWS credentials come from.
#[derive(Clone, Debug)]
pub enum AwsSource {
    /// The configuration: they are there, and do not expire for all we know.
    Keys(AwsKeys),
    /// A profile of the shared credentials file, read again every few minutes.
    Profile {
        /// The file, `~/.aws/credentials` mostly.
        file: PathBuf,
        /// Its section.
        name: String,
    },
    /// A role that is taken on with a token of the cluster's (EKS, IRSA).
    WebIdentity {
        /// STS, without a path.
        url: String,
        /// The role's ARN.
        role: String,
        /// What the session is called in AWS's logs.
        session: String,
        /// Where the cluster puts the token, anew from time to time.
        file: PathBuf,
    },
    /// The task's role (ECS, EKS pod identities): an agent beside us hands it out.
    Container {
        /// Where the agent is.
        url: String,
        /// What it wants to see, or the file that holds it, which changes.
        token: Option<ContainerToken>,
    },
    /// The machine's role: the instance metadata service, version 2.
    InstanceRole {
        /// Where it is, without a path.
        url: String,
    },
}

/// What a container's agent wants to see as `authorization`.
#[derive(Clone, Debug)]
pub enum ContainerToken {
    /// The text.
    Text(Secret),
    /// A file that is replaced from time to time.
    File(PathBuf),
}

/// A client of Entra ID (Azure), which asks with its own secret.
#[derive(Clone, Debug)]
pub struct EntraClient {
    /// Where tokens are asked for: `https://login.microsoftonline.com/TENANT/oauth2/v2.0/token`.
    pub url: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub secret: Secret,
    /// What the token is good for: `https://cognitiveservices.azure.com/.default`.
    pub scope: String,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum Grant {
    /// AWS.
    Aws(AwsSource),
    /// A Google service account's key.
    Google(ServiceAccount),
    /// An application in Entra ID.
    Entra(EntraClient),
}

impl Grant {
    /// What tells it from another: over a reload the same grant keeps its token.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        // Each part with its length, so that no two ways of cutting agree.
        let mut hash = Sha256::new();
        for part in self.parts() {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        KeyDigest::from(<[u8; 32]>::from(hash.finalize()))
    }

    fn parts(&self) -> Vec<&[u8]> {
        match self {
            Self::Aws(AwsSource::Keys(keys)) => vec![
                b"keys",
                keys.id.as_bytes(),
                keys.secret.expose().as_bytes(),
                keys.session.as_ref().map_or(b"".as_slice(), |token| token.expose().as_bytes()),
            ],
            Self::Aws(AwsSource::Profile { file, name }) => {
                vec![b"profile", file.as_os_str().as_encoded_bytes(), name.as_bytes()]
            }
            Self::Aws(AwsSource::WebIdentity { url, role, session, file }) => vec![
                b"web identity",
                url.as_bytes(),
                role.as_bytes(),
                session.as_bytes(),
                file.as_os_str().as_encoded_bytes(),
            ],
            Self::Aws(AwsSource::Container { url, .. }) => vec![b"container", url.as_bytes()],
            Self::Aws(AwsSource::InstanceRole { url }) => vec![b"instance", url.as_bytes()],
            Self::Google(account) => vec![b"google", account.email().as_bytes(), account.key_id().as_bytes()],
            Self::Entra(client) => vec![
                b"entra",
                client.url.as_bytes(),
                client.client_id.as_bytes(),
                client.secret.expose().as_bytes(),
                client.scope.as_bytes(),
            ],
        }
    }

    /// What people call it, in `check` and in the log.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Aws(AwsSource::Keys(_)) => "AWS keys",
            Self::Aws(AwsSource::Profile { .. }) => "an AWS profile",
            Self::Aws(AwsSource::WebIdentity { .. }) => "a role by web identity",
            Self::Aws(AwsSource::Container { .. }) => "the container's AWS role",
            Self::Aws(AwsSource::InstanceRole { .. }) => "the instance's AWS role",
            Self::Google(_) => "a Google service account",
            Self::Entra(_) => "an Entra ID client",
        }
    }
}
