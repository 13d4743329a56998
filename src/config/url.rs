//! Base URLs, as people paste them.

/// A base URL, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BaseUrl {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Before `/v1/...`, without a trailing slash.
    pub(crate) base_path: String,
}

/// Reads `https://api.openai.com/v1` and the like: our own paths begin with `/v1`, so one `/v1` at
/// the end is taken off.
pub(crate) fn parse(text: &str) -> Result<BaseUrl, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it does not begin with `https://` or `http://`")?;
    let tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err("it does not begin with `https://` or `http://`"),
    };
    let uri: http::Uri = text.parse().map_err(|_| "it is not a URL")?;
    let authority = uri.authority().ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("it holds a user or password");
    }
    if uri.query().is_some() || rest.contains('#') {
        return Err("it has a `?` or `#` part");
    }
    let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
        "" if tls => 443,
        "" => 80,
        port => {
            let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
            port.filter(|port| *port != 0).ok_or("its port is not a port")?
        }
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() {
        return Err("it has no host");
    }
    let path = uri.path().trim_end_matches('/');
    if path.contains("//") || path.split('/').any(|part| part == "." || part == "..") {
        return Err("its path is not plain");
    }
    let base_path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
    Ok(BaseUrl { tls, host, port, base_path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> (bool, String, u16, String) {
        let url = parse(text).expect(text);
        (url.tls, url.host, url.port, url.base_path)
    }

    #[test]
    fn one_version_at_the_end_is_taken_off() {
        assert_eq!(base("https://api.openai.com/v1"), (true, "api.openai.com".into(), 443, String::new()));
        assert_eq!(base("https://api.openai.com/v1/"), (true, "api.openai.com".into(), 443, String::new()));
        assert_eq!(base("https://Api.Anthropic.com"), (true, "api.anthropic.com".into(), 443, String::new()));
        assert_eq!(
            base("http://10.0.0.7:8000/openai/v1"),
            (false, "10.0.0.7".into(), 8000, "/openai".into())
        );
        assert_eq!(base("https://h/v1beta").3, "/v1beta");
        assert_eq!(base("https://h/apiv1").3, "/apiv1");
        assert_eq!(base("http://[::1]:9/x/").1, "::1");
    }

    #[test]
    fn what_cannot_be_a_base_url_is_refused() {
        for text in [
            "api.openai.com",
            "ftp://h",
            "https://",
            "https://u:p@h",
            "https://h/?a=1",
            "https://h#x",
            "https://h:0",
            "https://h:99999",
            "https://h/a/../b",
            "https://h //",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
