//! TLS by rustls with ring. The files are read at every dial, so that a renewed certificate needs no restart.

use super::dial::DialError;
use super::stream::Stream;
use crate::config::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;

pub(super) async fn connect(stream: TcpStream, tls: &Tls, host: &str) -> Result<Stream, DialError> {
    let config = client_config(tls)?;
    let name = tls.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(|_| {
        DialError::misconfigured(format!(
            "{name:?} is no name that a certificate can have; set tls.server_name"
        ))
    })?;
    match tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
    {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(refused(&error)),
    }
}

/// The peer has refused us with a TLS alert.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|inner| matches!(inner, rustls::Error::AlertReceived(_)))
}

/// A handshake that the certificates refuse will be refused again; one that the network cut may not be.
pub(super) fn refused(error: &io::Error) -> DialError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => DialError::misconfigured(format!(
            "TLS: the server's certificate was refused: {why}; check tls.ca_file and tls.server_name"
        )),
        Some(rustls::Error::InvalidMessage(_)) => DialError::misconfigured(
            "TLS: the server answers, but not with TLS; use redis:// for a server without it"
                .to_owned(),
        ),
        Some(rustls::Error::AlertReceived(alert)) => DialError::misconfigured(format!(
            "TLS: the server refused us with {alert:?}; does it ask for a client certificate (tls.client_cert_file)?"
        )),
        _ => DialError::unreachable(format!("TLS: {error}")),
    }
}

fn client_config(tls: &Tls) -> Result<ClientConfig, DialError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| DialError::misconfigured(format!("TLS: {error}")))?;
    let builder = if tls.accept_invalid_certificates {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnything(provider)))
    } else {
        builder.with_root_certificates(roots(tls)?)
    };
    match (&tls.client_cert_file, &tls.client_key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                DialError::misconfigured(format!(
                    "TLS: the client certificate does not work: {error}"
                ))
            })
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn roots(tls: &Tls) -> Result<RootCertStore, DialError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    DialError::misconfigured(format!("TLS: {}: {error}", path.display()))
                })?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
    }
    if roots.is_empty() {
        return Err(DialError::misconfigured(
            "TLS: no CA certificate found; set tls.ca_file",
        ));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if chain.is_empty() => Err(DialError::misconfigured(format!(
            "TLS: {} holds no certificate in PEM form",
            path.display()
        ))),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> DialError {
    DialError::misconfigured(format!("TLS: {} cannot be read: {error}", path.display()))
}

/// For `danger_accept_invalid_certificates`: encrypts, and believes anybody. Signatures are still checked, or the key exchange would be
/// meaningless as well.
#[derive(Debug)]
struct AcceptAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnything {
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
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
