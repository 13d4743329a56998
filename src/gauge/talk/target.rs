//! Where requests go, and with whose key.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;

use crate::{
    config::{BaseUrl, parse_base_url},
    types::{Dialect, Secret},
};

/// An endpoint that is to be measured.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) url: BaseUrl,
    name: Arc<str>,
    key: Option<Secret>,
    key_name: Option<String>,
}

impl Target {
    /// Reads a base URL, with or without `/v1`; `key_name` is the variable that `key` was in.
    ///
    /// # Errors
    /// What is wrong with the URL, or that no header can carry the key.
    pub fn new(url: &str, key_name: Option<&str>, key: Option<Secret>) -> Result<Self, String> {
        let base = parse_base_url(url).map_err(|why| {
            format!("`{url}` is no base URL: {why}; write `https://host` or `http://host:port`")
        })?;
        if key.as_ref().is_some_and(|key| HeaderValue::try_from(key.expose()).is_err()) {
            let variable = key_name.unwrap_or_default();
            return Err(format!(
                "{variable} holds a character that no header can carry; set it to the key alone"
            ));
        }
        let plain = url.trim_end_matches('/');
        let name = plain.strip_suffix("/v1").unwrap_or(plain).into();
        Ok(Self { url: base, name, key, key_name: key_name.map(str::to_owned) })
    }

    /// The URL, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is asked over TLS.
    pub(crate) const fn is_tls(&self) -> bool {
        self.url.tls
    }

    /// The variable that holds its key.
    pub(crate) fn key_name(&self) -> Option<&str> {
        self.key_name.as_deref()
    }

    /// The text without the key, should it say it.
    pub(super) fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) if !key.expose().is_empty() => text.replace(key.expose(), "(key)"),
            Some(_) | None => text.to_owned(),
        }
    }

    /// The path of a dialect's main call.
    pub(crate) fn path(&self, dialect: Dialect) -> String {
        let call = match dialect {
            Dialect::Anthropic => "messages",
            Dialect::OpenAiChat => "chat/completions",
            Dialect::OpenAiResponses => "responses",
        };
        format!("{}/v1/{call}", self.url.base_path)
    }

    pub(super) fn request(
        &self,
        dialect: Dialect,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let url = &self.url;
        let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let usual = if url.tls { 443 } else { 80 };
        let host = if url.port == usual { host } else { format!("{host}:{}", url.port) };
        let mut request = Request::post(self.path(dialect))
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("warmkey/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "text/event-stream, application/json")
            .header(header::CONTENT_TYPE, "application/json");
        if dialect == Dialect::Anthropic {
            request = request.header("anthropic-version", "2023-06-01");
        }
        if let Some(key) = self.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty()) {
            let (name, value) = match dialect {
                Dialect::Anthropic => ("x-api-key", key.to_owned()),
                Dialect::OpenAiChat | Dialect::OpenAiResponses => ("authorization", format!("Bearer {key}")),
            };
            let mut value = HeaderValue::try_from(value)?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_with_and_without_its_version() {
        for (url, path) in [
            ("https://api.anthropic.com", "/v1/messages"),
            ("https://api.anthropic.com/v1/", "/v1/messages"),
            ("http://h:4000/llm/v1", "/llm/v1/messages"),
        ] {
            let target = Target::new(url, None, None).expect(url);
            assert_eq!(target.path(Dialect::Anthropic), path);
            assert!(!target.name().ends_with("/v1") && !target.name().ends_with('/'));
        }
        let why = Target::new("api.openai.com", None, None).expect_err("no scheme");
        assert!(
            why.starts_with("`api.openai.com` is no base URL: ") && why.ends_with("`http://host:port`"),
            "{why}"
        );
    }

    #[test]
    fn the_key_goes_into_its_header_and_nowhere_else() {
        let key = || Some(Secret::new("sk-secret".to_owned()));
        let target = Target::new("http://h:1", Some("A_KEY"), key()).expect("a URL");
        let request =
            target.request(Dialect::Anthropic, &[("x-one", "1".to_owned())], Bytes::new()).expect("one");
        assert_eq!(request.headers()["x-api-key"], "sk-secret");
        assert_eq!(
            (&request.headers()["host"], &request.headers()["x-one"]),
            (&"h:1".parse().expect("text"), &"1".parse().expect("text"))
        );
        assert!(!format!("{target:?} {request:?}").contains("sk-secret"));
        let request = target.request(Dialect::OpenAiChat, &[], Bytes::new()).expect("one");
        assert_eq!(request.headers()["authorization"], "Bearer sk-secret");
        assert_eq!(target.without_key("bad key sk-secret!"), "bad key (key)!");
        let broken = Target::new("http://h:1", Some("A_KEY"), Some(Secret::new("a\nb".to_owned())));
        assert!(broken.expect_err("a line feed").starts_with("A_KEY holds a character"));
    }
}
