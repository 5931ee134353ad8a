//! The Kubernetes API, as far as ops need it: the way in from a kubeconfig, and pure readings of what
//! it says.
//!
//! Must not know what is decided from it.

pub mod argocd;
pub mod certificate;
pub mod config;
pub mod delivery;
pub mod dns;
pub mod flux;
pub mod keeper;
pub mod managed;
pub mod objects;
pub mod overlap;
pub mod read;
pub mod rendered;
pub mod request;
mod yaml;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::https::Credentials;

pub const SYSTEM: &str = "kube-system";
/// Where the API has them all.
pub const SYSTEM_PODS: &str = "/api/v1/namespaces/kube-system/pods";

/// The credentials in a kubeconfig that kubeadm wrote: one user, everything inline.
pub fn credentials(kubeconfig: &str) -> Option<Credentials> {
    let field = |name: &str| {
        let value = kubeconfig
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))?;
        STANDARD.decode(value.trim()).ok()
    };
    Some(Credentials {
        ca: field("certificate-authority-data")?,
        client: Some((field("client-certificate-data")?, field("client-key-data")?)),
    })
}

/// A value of a document that kubeadm wrote, by its whole path of one key.
pub fn value<'a>(document: &'a str, key: &str) -> Option<&'a str> {
    let value =
        document.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))?;
    let value = value.trim().trim_matches('"');
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_gives_its_credentials() {
        let text = "clusters:\n- cluster:\n    certificate-authority-data: YWJj\n    server: https://x:6443\nusers:\n- user:\n    client-certificate-data: ZGVm\n    client-key-data: Z2hp\n";
        let found = credentials(text).unwrap();
        assert_eq!(found.ca, b"abc");
        assert_eq!(found.client, Some((b"def".to_vec(), b"ghi".to_vec())));
        assert!(credentials("").is_none());
        assert_eq!(value(text, "server"), Some("https://x:6443"));
    }
}
