//! A certificate authority and a server certificate for 127.0.0.1, made for one run.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::path::PathBuf;
use tempfile::TempDir;

/// PEM files that go away with it.
pub(super) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    pub(super) fn generate() -> Result<Certificates> {
        let certificates = Certificates {
            directory: tempfile::tempdir()?,
        };
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(DnType::CommonName, "keyway bench CA");
        ca.key_usages.push(KeyUsagePurpose::KeyCertSign);
        ca.key_usages.push(KeyUsagePurpose::CrlSign);
        std::fs::write(certificates.ca_file(), ca.self_signed(&ca_key)?.pem())?;

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec!["127.0.0.1".into()])?;
        server
            .distinguished_name
            .push(DnType::CommonName, "keyway bench server");
        server.use_authority_key_identifier_extension = true;
        server.key_usages.push(KeyUsagePurpose::DigitalSignature);
        server
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        let signed = server.signed_by(&key, &Issuer::new(ca, ca_key))?;
        std::fs::write(certificates.server_file(), signed.pem())?;
        std::fs::write(certificates.server_key_file(), key.serialize_pem())?;
        Ok(certificates)
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(super) fn server_file(&self) -> PathBuf {
        self.directory.path().join("server.pem")
    }

    pub(super) fn server_key_file(&self) -> PathBuf {
        self.directory.path().join("server.key")
    }
}
