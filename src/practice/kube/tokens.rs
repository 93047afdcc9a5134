//! Service-account tokens: signed and verified with the keys that lie on the hosts.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde_json::{Value, json};
use x509_parser::{prelude::FromDer as _, x509::SubjectPublicKeyInfo};

use crate::{pki::PrivateKey, remote::op::sha256_hex};

/// Issuer of the tokens that lie in Secrets.
const LEGACY: &str = "kubernetes/serviceaccount";

/// A public key as a token is verified with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier(Vec<u8>);

impl Verifier {
    /// From a public or a private key, PEM.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let spki = match SubjectPublicKeyInfoDer::from_pem_slice(pem) {
            Ok(der) => der.to_vec(),
            Err(_) => PrivateKey::from_pem(pem).ok()?.public_key_der().to_vec(),
        };
        let (_, info) = SubjectPublicKeyInfo::from_der(&spki).ok()?;
        Some(Self(info.subject_public_key.data.to_vec()))
    }
}

/// A token in a Secret, as the controller-manager makes it; it never ends.
pub fn stored(key: &[u8], namespace: &str, account: &str, secret: &str) -> Option<String> {
    let claims = json!({
        "iss": LEGACY,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret,
        "kubernetes.io/serviceaccount/service-account.name": account,
        "sub": subject(namespace, account),
    });
    sign(key, &claims)
}

/// A token as an apiserver issues it, good until then.
pub fn fresh(key: &[u8], issuer: &str, namespace: &str, account: &str, now: i64, seconds: i64) -> Option<String> {
    let claims = json!({
        "aud": [issuer],
        "exp": now + seconds,
        "iat": now,
        "iss": issuer,
        "nbf": now,
        "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": account } },
        "sub": subject(namespace, account),
    });
    sign(key, &claims)
}

fn subject(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

fn sign(pem: &[u8], claims: &Value) -> Option<String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random).ok()?;
    let kid = sha256_hex(pem);
    let head = json!({ "alg": "ES256", "kid": &kid[..43] });
    let [head, claims] = [head.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let text = format!("{head}.{claims}");
    let signature = key.sign(&random, text.as_bytes()).ok()?;
    Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Whose token it is, if it was signed with one of these keys by one of these issuers and holds now.
pub fn user(token: &str, keys: &[Verifier], issuer: &str, now: i64) -> Option<String> {
    let (text, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signed = |key: &Verifier| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.0).verify(text.as_bytes(), &signature).is_ok()
    };
    keys.iter().find(|key| signed(key))?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split_once('.')?.1).ok()?).ok()?;
    let known = claims["iss"] == LEGACY || claims["iss"] == issuer;
    let holds = claims["exp"].as_i64().is_none_or(|end| now < end);
    (known && holds).then(|| claims["sub"].as_str().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Vec<u8>, Verifier) {
        let key = rcgen::KeyPair::generate().unwrap();
        (key.serialize_pem().into_bytes(), Verifier::from_pem(key.public_key_pem().as_bytes()).unwrap())
    }

    #[test]
    fn a_token_is_taken_by_the_key_it_was_signed_with_and_no_other() {
        let ((key, own), (_, other)) = (pair(), pair());
        let token = stored(&key, "kube-system", "default", "default-token-x").unwrap();
        let whose = user(&token, &[other.clone(), own.clone()], "https://i", 0);
        assert_eq!(whose.as_deref(), Some("system:serviceaccount:kube-system:default"));
        assert_eq!(user(&token, &[other], "https://i", 0), None);
        assert_eq!(user(&token.replace("ey", "eY"), &[own], "https://i", 0), None);
        assert_eq!(Verifier::from_pem(&key), Verifier::from_pem(&key), "a private key gives its public half");
    }

    #[test]
    fn a_fresh_token_ends_and_is_its_issuers() {
        let (key, own) = pair();
        let token = fresh(&key, "https://i", "kube-system", "default", 1000, 600).unwrap();
        let keys = [own];
        assert!(user(&token, &keys, "https://i", 1500).is_some());
        assert!(user(&token, &keys, "https://i", 1600).is_none());
        assert!(user(&token, &keys, "https://other", 1500).is_none());
    }
}
