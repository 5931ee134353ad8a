//! Requests to a server that shows and asks for certificates of a cluster's own CA: the API server
//! and etcd. Must not know what is asked.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Method, header::CONTENT_TYPE};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take: longer than any that is worth waiting for on the same node.
const ANSWER: Duration = Duration::from_secs(20);

/// How long a connection is kept for the next question: from one op to another.
const KEPT: Duration = Duration::from_secs(2);
const MOST_KNOWN: usize = 8;

/// A certificate and its key, both PEM.
pub type Client = (Vec<u8>, Vec<u8>);

/// Who asks, and by which CA the server is known; all PEM.
pub struct Credentials {
    pub ca: Vec<u8>,
    /// Without it one is anonymous.
    pub client: Option<Client>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answered, or only half.
    Unreachable(String),
    /// It answered, and said no.
    Said { code: u16, message: String },
    /// What was read or sent makes no sense.
    Other(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable(why) | Trouble::Other(why) => f.write_str(why),
            Trouble::Said { code, message } => write!(f, "{message} (HTTP {code})"),
        }
    }
}

impl Trouble {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Trouble::Said { code: 404, .. })
    }

    /// Whether another try may help.
    pub fn passes(&self) -> bool {
        match self {
            Trouble::Unreachable(_) => true,
            // An API server that has just started does not know for some seconds who may do what, and
            // says so even to its administrators. (What a policy refuses is worded otherwise.)
            Trouble::Said { code: 403, message } => {
                message.contains("User \"kubernetes-admin\" cannot ")
            }
            Trouble::Said { code, .. } => *code == 429 || *code >= 500,
            Trouble::Other(_) => false,
        }
    }
}

pub type Answer<T> = Result<T, Trouble>;

#[derive(Debug, Clone)]
pub struct Https {
    client: reqwest::Client,
    base: String,
}

fn other(error: impl fmt::Display) -> Trouble {
    Trouble::Other(error.to_string())
}

/// reqwest's own words leave out what is behind them.
fn unreachable(error: &reqwest::Error) -> Trouble {
    let mut text =
        if error.is_timeout() { "no answer in time".to_string() } else { error.to_string() };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Trouble::Unreachable(text)
}

/// What a server says to a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// A certificate by the CA that it was compared with.
    Trusted,
    /// Another one, or there was nothing to compare it with.
    Untrusted,
    /// Words that are no TLS.
    NoTls,
    /// It closed, or kept silent.
    Gone,
}

/// A handshake and no more. Blocks, as long as the stream's own time-outs let it.
pub fn greet(mut stream: std::net::TcpStream, host: &str, ca: Option<&[u8]>) -> Greeting {
    let Ok(name) = ServerName::try_from(host.to_string()) else { return Greeting::Untrusted };
    let config = match ca {
        Some(ca) => config(&Credentials { ca: ca.to_vec(), client: None }),
        None => trusting(None),
    };
    // A CA that cannot be read has signed nothing.
    let Ok(config) = config else { return Greeting::Untrusted };
    let Ok(mut connection) = rustls::ClientConnection::new(Arc::new(config), name) else {
        return Greeting::Untrusted;
    };
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            return match tls {
                Some(rustls::Error::InvalidCertificate(_)) => Greeting::Untrusted,
                // A server that wants something else of TLS speaks it.
                Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)) => {
                    Greeting::Untrusted
                }
                Some(_) => Greeting::NoTls,
                None => Greeting::Gone,
            };
        }
    }
    if ca.is_some() { Greeting::Trusted } else { Greeting::Untrusted }
}

type Builder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

fn as_client(builder: Builder, client: Option<&Client>) -> Answer<rustls::ClientConfig> {
    let Some((certificates, key)) = client else { return Ok(builder.with_no_client_auth()) };
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(certificates).collect::<Result<_, _>>().map_err(other)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(other)?;
    builder.with_client_auth_cert(chain, key).map_err(other)
}

/// Whoever it is.
fn trusting(client: Option<&Client>) -> Answer<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let any = Any(provider.signature_verification_algorithms);
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any));
    as_client(builder, client)
}

fn config(with: &Credentials) -> Answer<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&with.ca) {
        roots.add(certificate.map_err(other)?).map_err(other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .with_root_certificates(roots);
    as_client(builder, with.client.as_ref())
}

/// Takes any certificate: for a neighbour in the same machine that makes its own.
#[derive(Debug)]
struct Any(rustls::crypto::WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl Https {
    /// Whoever answers there: a component of this very node, whose certificate nobody has signed, or one
    /// that is only asked whether to go on. Nothing secret is ever said to it.
    pub fn unverified(
        address: std::net::Ipv4Addr,
        port: u16,
        client: Option<&Client>,
    ) -> Answer<Self> {
        let base = format!("https://{address}:{port}");
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(trusting(client)?)
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        Ok(Self { client: builder.build().map_err(other)?, base })
    }

    /// `base` is `https://HOST:PORT`.
    pub fn new(base: impl Into<String>, with: &Credentials) -> Answer<Self> {
        Self::at(base, with, None)
    }

    /// A server that is known by its name, at an address that is known already: no name service is
    /// asked.
    pub fn at(
        base: impl Into<String>,
        with: &Credentials,
        found: Option<(&str, std::net::SocketAddr)>,
    ) -> Answer<Self> {
        // No proxy: it is a neighbour, whatever the environment says.
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(config(with)?)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEPT)
            .timeout(ANSWER);
        if let Some((name, address)) = found {
            builder = builder.resolve(name, address);
        }
        Ok(Self { client: builder.build().map_err(other)?, base: base.into() })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer<reqwest::Response> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some((kind, body)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let response = request.send().await.map_err(|e| unreachable(&e))?;
        let code = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        // Both say why in a field of this name.
        let said = serde_json::from_str::<Value>(&text).ok();
        let said = said.as_ref().and_then(|v| v["message"].as_str()).map(str::to_string);
        let message = said.unwrap_or_else(|| text.chars().take(200).collect());
        Err(Trouble::Said { code, message })
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer<Value> {
        let response = self.send(method, path, body).await?;
        let bytes = response.bytes().await.map_err(|e| unreachable(&e))?;
        serde_json::from_slice(&bytes).map_err(other)
    }

    pub async fn get(&self, path: &str) -> Answer<Value> {
        self.json(Method::GET, path, None).await
    }

    /// None where there is no such thing.
    pub async fn find(&self, path: &str) -> Answer<Option<Value>> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(trouble) if trouble.is_not_found() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer<Value> {
        self.json(Method::POST, path, Some(("application/json", body.to_string().into()))).await
    }

    /// `kind` is a patch's: `merge-patch+json`, `apply-patch+yaml`.
    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer<Value> {
        let kind = format!("application/{kind}");
        self.json(Method::PATCH, path, Some((&kind, body.to_string().into()))).await
    }

    /// Server-side apply of an object as it is written, YAML or JSON.
    pub async fn apply(&self, path: &str, object: &str) -> Answer<Value> {
        let kind = "application/apply-patch+yaml";
        self.json(Method::PATCH, path, Some((kind, object.as_bytes().to_vec()))).await
    }

    /// Nothing there is fine.
    pub async fn delete(&self, path: &str) -> Answer<()> {
        match self.send(Method::DELETE, path, None).await {
            Err(trouble) if !trouble.is_not_found() => Err(trouble),
            _ => Ok(()),
        }
    }

    /// Whether the address answers with success, whatever it says.
    pub async fn is_well(&self, path: &str) -> Answer<()> {
        self.send(Method::GET, path, None).await.map(drop)
    }

    /// An answer that comes in parts.
    pub async fn stream(&self, path: &str, body: &Value) -> Answer<reqwest::Response> {
        self.send(Method::POST, path, Some(("application/json", body.to_string().into()))).await
    }
}

/// Servers that were asked before. What is asked next goes over the same connection, if it is asked at once:
/// a handshake with certificates on both sides is more work than most questions are. For servers of this
/// very machine: one elsewhere that went dark would be noticed late.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Mutex<BTreeMap<Server, Https>>>);

/// Its base, and a sum of the credentials.
type Server = (String, [u8; 32]);

impl Known {
    /// `base` is `https://HOST:PORT`. With other credentials it counts as another server.
    pub fn server(&self, base: String, with: &Credentials) -> Answer<Https> {
        let mut who = Sha256::new();
        let (certificate, key) =
            with.client.as_ref().map_or((&[][..], &[][..]), |(c, k)| (c.as_slice(), k.as_slice()));
        for part in [&with.ca[..], certificate, key] {
            who.update(Sha256::digest(part));
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = (base, who.finalize().into());
        if let Some(https) = known.get(&server) {
            return Ok(https.clone());
        }
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        let https = Https::new(server.0.clone(), with)?;
        known.insert(server, https.clone());
        Ok(https)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_that_may_nothing_asks_again_and_a_policy_is_believed() {
        let said = |code, message: &str| Trouble::Said { code, message: message.into() };
        let young = "pods is forbidden: User \"kubernetes-admin\" cannot list resource \"pods\" in API group \"\" at the cluster scope";
        assert!(said(403, young).passes());
        assert!(
            !said(403, "pods \"x\" is forbidden: violates PodSecurity \"restricted\"").passes()
        );
        assert!(said(503, "").passes() && said(429, "").passes());
        assert!(!said(404, "").passes() && !said(409, "").passes());
    }
}
