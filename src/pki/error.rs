//! What can be wrong with a certificate or a key.

/// Why a certificate or key could not be read, or a certificate not be issued. Each message ends in what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// No `CERTIFICATE` block.
    #[error("{}", tr!("holds no PEM certificate; check that the path names the certificate, not the key or a request"))]
    NoCertificate,
    /// A certificate that does not parse.
    #[error("{}", tr!("the certificate cannot be read: {why}; look at it with `openssl x509 -text`", why = why))]
    BadCertificate {
        /// What the parser says, cleaned.
        why: String,
    },
    /// No private key block.
    #[error("{}", tr!("holds no PEM private key; check that the path names the key, not the certificate"))]
    NoKey,
    /// A private key behind a passphrase.
    #[error(
        "{}", tr!("the private key is encrypted with a passphrase, which etcd cannot use either; give the plain key (`openssl pkey -in KEY` asks for the passphrase)"))]
    EncryptedKey,
    /// A key that does not parse, or of a kind that is not supported.
    #[error(
        "{}", tr!("the private key is damaged or of an unsupported kind; RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, and Ed25519 are known: look at it with `openssl pkey -text -noout`"))]
    UnsupportedKey,
    /// A fresh key of this kind cannot be made.
    #[error("{}", tr!("cannot make a fresh key like {key_type}; keep the key in use instead", key_type = key_type))]
    CannotGenerate {
        /// The kind that was asked for.
        key_type: String,
    },
    /// The CA's key belongs to another certificate.
    #[error("{}", tr!("the CA key does not belong to the CA certificate {subject}; find the key of this CA before going on", subject = subject))]
    CaKeyMismatch {
        /// The CA certificate's subject.
        subject: String,
    },
    /// The "CA" must not sign.
    #[error("{}", tr!("{subject} is not a CA that may sign certificates ({why}); find the CA that issued the certificate in use", subject = subject, why = why))]
    NotACa {
        /// Its subject.
        subject: String,
        /// What forbids it.
        why: &'static str,
    },
    /// The CA is outside of its validity.
    #[error("{}", tr!("the CA {subject} is not valid now; its own renewal comes first", subject = subject))]
    CaNotValid {
        /// Its subject.
        subject: String,
    },
    /// The certificate in use comes from another CA.
    #[error(
        "{}", tr!("{subject} was issued by {issuer}, not by the given CA {ca}; re-issuing from another CA would cut off everyone who trusts the old one: find the CA in use", subject = subject, issuer = issuer, ca = ca))]
    NotFromThisCa {
        /// The certificate's subject.
        subject: String,
        /// The issuer it names.
        issuer: String,
        /// The given CA's subject.
        ca: String,
    },
    /// What is to be re-issued is no leaf.
    #[error("{}", tr!("{subject} is itself a CA and is not re-issued here; name the leaf certificate", subject = subject))]
    NotALeaf {
        /// Its subject.
        subject: String,
    },
    /// A name that cannot go into a certificate.
    #[error("{}", tr!("`{san}` cannot be put into a certificate as a name; give an address or a DNS name", san = san))]
    BadSan {
        /// The name.
        san: String,
    },
    /// An extension that must not be dropped and cannot be kept.
    #[error(
        "{}", tr!("the certificate in use has the critical extension {oid}, which cannot be carried over; re-issue it by hand", oid = oid))]
    CriticalExtension {
        /// Its OID.
        oid: String,
    },
    /// Nothing would be left of its validity.
    #[error("{}", tr!("the new certificate would be expired at once ({why}); give `lifetime_days`", why = why))]
    NoLifetime {
        /// Where the short lifetime comes from.
        why: &'static str,
    },
    /// The machine's random source or the signing itself failed.
    #[error("{}", tr!("signing failed: {why}; nothing was written", why = why))]
    Signing {
        /// What failed.
        why: &'static str,
    },
    /// The finished certificate is not what was asked for.
    #[error(
        "{}", tr!("the certificate just issued is wrong: {what}; it was thrown away, nothing was written: please report this", what = what))]
    Unproven {
        /// Which check failed.
        what: &'static str,
    },
}
