//! Certificates that the server orders itself.

use std::path::{Path, PathBuf};

use url::Url;

use super::values::Reader;

/// From whom certificates are ordered, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The names in the certificate, the first one first; at least one.
    pub domains: Vec<String>,
    /// Whom the authority may write to, as a URL.
    pub contact: Option<String>,
    /// Whether its terms are accepted.
    pub accept_terms: bool,
    /// Where it begins (RFC 8555, 7.1.1).
    pub directory: String,
    /// Who vouches for it over TLS, if not whom the system trusts.
    pub directory_ca_file: Option<PathBuf>,
    /// Where account and certificate are kept.
    pub dir: PathBuf,
}

impl AcmeConfig {
    /// `Some(None)` unless domains are named.
    pub(super) fn read(reader: &mut Reader, data_dir: &Path) -> Option<Option<Self>> {
        const EXAMPLE: Option<&str> = Some("[\"video.example.com\"]");
        let domains = reader.list("acme.domains");
        let text = |name: &str| Some(reader.text(name)).filter(|text| !text.is_empty());
        let contact = text("acme.contact");
        let directory_ca_file = text("acme.directory_ca_file").map(PathBuf::from);
        let dir = text("acme.dir").map_or_else(|| data_dir.join("acme"), PathBuf::from);
        let directory = reader.text("acme.directory");
        let accept_terms = reader.boolean("acme.accept_terms");
        if domains.is_empty() {
            return Some(None);
        }
        for domain in domains.iter().filter(|domain| !is_domain(domain)) {
            let what =
                format!("{domain:?} is no name of a host; nor may it be a wildcard or an address");
            reader.problem("acme.domains", &what, EXAMPLE);
        }
        if !accept_terms {
            let what = "must be true: certificates are ordered only by who accepts the terms of \
                        acme.directory";
            reader.problem("acme.accept_terms", what, Some("true"));
        }
        if contact
            .as_ref()
            .is_some_and(|url| url.parse::<Url>().is_err())
        {
            let example = Some("\"mailto:ops@example.com\"");
            reader.problem("acme.contact", "is no URL", example);
        }
        if !directory.starts_with("https://") || directory.parse::<Url>().is_err() {
            let example = Some("\"https://acme-v02.api.letsencrypt.org/directory\"");
            reader.problem("acme.directory", "is no https URL", example);
        }
        let config = Self {
            domains,
            contact,
            accept_terms,
            directory,
            directory_ca_file,
            dir,
        };
        Some(Some(config))
    }
}

/// Lower case letters, digits and hyphens, in parts.
fn is_domain(text: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.len() < 64 && part.chars().all(plain)
    };
    let address = text.split('.').all(|part| part.parse::<u8>().is_ok());
    text.len() < 254 && text.split('.').all(part) && !address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_told_from_what_is_none() {
        for good in ["video.example.com", "localhost", "xn--bcher-kva.example"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "*.example.com",
            "10.0.0.1",
            "Video.example.com",
            "a..b",
            "",
            "::1",
            "https://x",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
