//! TLS as the servers of Open vSwitch speak it.
//!
//! Certificates made by `ovs-pki` name no host, so by default only the chain is verified, as all Open vSwitch tools do;
//! [`Verify::Hostname`] is for servers with proper names. The files are read here at every connect, which is how a
//! rotation takes effect. The crypto provider is passed explicitly: a library must not depend on a process-wide default
//! that somebody else may or may not have installed.

use std::{fmt, io, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Certificates and verification for `ssl:` remotes. The files are read at every connect, so a rotation takes effect
/// with the next connection and needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The authorities to trust, PEM.
    pub authority: PathBuf,
    /// Our certificate chain, PEM, and its private key; servers of Open vSwitch demand one unless told otherwise.
    pub client: Option<ClientCertificate>,
    /// How far to verify the server.
    pub verify: Verify,
}

impl TlsConfig {
    /// Trusts the authorities in a file and shows no certificate; verifies the chain only.
    pub fn new(authority: impl Into<PathBuf>) -> Self {
        Self {
            authority: authority.into(),
            client: None,
            verify: Verify::Chain,
        }
    }

    /// Shows a certificate to the server.
    #[must_use]
    pub fn with_client(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client = Some(ClientCertificate {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// Verifies the server this far.
    #[must_use]
    pub fn with_verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }
}

/// A certificate chain and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, followed by intermediate ones.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How far to verify a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// A trusted authority issued it, whatever name it carries. This is what the tools of Open vSwitch do, because the
    /// certificates made by `ovs-pki` carry no usable names.
    #[default]
    Chain,
    /// A trusted authority issued it for the host in the remote.
    Hostname,
}

/// Why no TLS connection came about.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// An `ssl:` remote without certificates to verify it by.
    #[error("remote needs TLS, and no certificates are configured")]
    NotConfigured,
    /// A PEM file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: rustls::pki_types::pem::Error,
    },
    /// A PEM file holds no certificate.
    #[error("no certificate in {0}")]
    Empty(PathBuf),
    /// The certificates do not fit together, or the library refuses them.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
    /// The host is no valid name to verify.
    #[error("{0:?} is not a host name")]
    Name(String),
    /// The handshake failed, for instance because the certificate was refused.
    #[error("TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
}

/// Performs the handshake on a connected socket.
pub(crate) async fn connect(
    config: &TlsConfig,
    host: &str,
    socket: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let client = client_config(config)?;
    let name = match (ServerName::try_from(host.to_owned()), config.verify) {
        (Ok(name), _) => name,
        (Err(_), Verify::Hostname) => return Err(TlsError::Name(host.to_owned())),
        // Only the chain is verified, and something must be named.
        (Err(_), Verify::Chain) => ServerName::try_from("ovsdb-server").expect("a valid name"),
    };
    TlsConnector::from(Arc::new(client))
        .connect(name, socket)
        .await
        .map_err(TlsError::Handshake)
}

fn client_config(config: &TlsConfig) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots(&config.authority)?);
    let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
    // TLS 1.2 is the library's oldest version, and what older servers speak.
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    let builder = match config.verify {
        Verify::Hostname => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| TlsError::Setup(error.to_string()))?;
            builder.with_webpki_verifier(verifier)
        }
        Verify::Chain => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ChainOnly { roots, provider })),
    };
    let Some(client) = &config.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(&client.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&client.key).map_err(|source| TlsError::File {
        path: client.key.clone(),
        source,
    })?;
    builder.with_client_auth_cert(chain, key).map_err(setup)
}

fn roots(path: &PathBuf) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Setup(format!("{}: {error}", path.display())))?;
    }
    Ok(roots)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File {
        path: path.clone(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(file)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(file)?;
    if certificates.is_empty() {
        Err(TlsError::Empty(path.clone()))
    } else {
        Ok(certificates)
    }
}

/// Accepts any certificate a trusted authority issued and that is valid now.
struct ChainOnly {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for ChainOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainOnly").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
