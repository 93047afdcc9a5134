//! The lab's secrets, and that a text holds none of them: not the word for one but the thing itself.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::hosts::Lab;

/// Pieces of every secret of the lab as they could stand in a text, each with where it is from.
pub struct Secrets(Vec<(String, String)>);

/// As long as a piece must be to stand for its secret.
const PIECE: usize = 32;

impl Secrets {
    /// Private keys, the key that encrypts at rest, service-account tokens.
    pub fn of(lab: &Lab) -> Self {
        let mut all = Self(Vec::new());
        for dir in ["etcd", "kube/pki", "kube/workshop"] {
            for entry in std::fs::read_dir(lab.state().join(dir)).expect(dir) {
                let path = entry.expect("an entry").path();
                if path.to_string_lossy().ends_with("key.pem") || path.extension().is_some_and(|e| e == "key") {
                    all.add_pem(&path.display().to_string(), &std::fs::read_to_string(&path).expect("a key"));
                }
            }
        }
        assert!(all.0.len() > 50, "{} pieces of keys", all.0.len());
        let encryption = String::from_utf8(lab.read("kube/encryption.yaml")).expect("text");
        let key = encryption.lines().find_map(|l| l.trim().strip_prefix("secret: ")).expect("the key at rest");
        all.add("encryption.yaml", key);
        let said = lab.lab(["kubectl", "get", "secrets", "--all-namespaces", "-o", "json"]);
        let secrets: serde_json::Value = serde_json::from_str(&said).expect("kubectl's JSON");
        for token in secrets["items"].as_array().expect("items").iter().filter_map(|s| s["data"]["token"].as_str()) {
            let clear = String::from_utf8(STANDARD.decode(token).expect("base64")).expect("a token");
            all.add("a token in a Secret", token);
            all.add("a token", clear.rsplit('.').next().expect("its signature"));
        }
        all
    }

    fn add(&mut self, from: &str, text: &str) {
        // From the middle: a head may be the same in what is no secret.
        let begin = text.len().saturating_sub(PIECE) / 2;
        let piece: String = text.chars().skip(begin).take(PIECE).collect();
        assert!(piece.len() >= PIECE, "{from}: too short to be searched for");
        self.0.push((from.to_owned(), piece));
    }

    fn add_pem(&mut self, from: &str, pem: &str) {
        let body = pem.lines().filter(|l| !l.starts_with('-') && l.len() >= PIECE);
        body.for_each(|line| self.add(from, line));
        // As a Secret or a kubeconfig holds it.
        self.add(from, &STANDARD.encode(pem));
    }

    /// None of it stands in the text, as it is or with its JSON escapes.
    #[track_caller]
    pub fn assert_none_in(&self, what: &str, text: &str) {
        let found = self.0.iter().find(|(_, piece)| text.contains(piece) || text.contains(&piece.replace('/', "\\/")));
        assert!(found.is_none(), "{what} holds a secret of {}", found.map_or("", |(from, _)| from));
    }
}

#[test]
fn a_secret_is_found_where_it_stands() {
    let mut secrets = Secrets(Vec::new());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "abcdefgh".repeat(8));
    secrets.add_pem("a.key", &pem);
    secrets.assert_none_in("nothing", "-----BEGIN PRIVATE KEY-----");
    for text in [pem.clone(), format!("client-key-data: {}", STANDARD.encode(&pem))] {
        let caught = std::panic::catch_unwind(|| secrets.assert_none_in("it", &text));
        assert!(caught.is_err(), "not found in {text}");
    }
}
