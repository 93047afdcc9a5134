//! Known hosts, strictly: plain, hashed, wildcard and `[host]:port` entries of several files, `@revoked` honoured, a
//! changed key told from an unknown one, an unreadable file never taken for an empty one.

use std::{
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PublicKey,
    ssh_key::known_hosts::{Entry, HostPatterns, Marker},
};
use sha1::Sha1;

/// A key of some host, as shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Such as `ssh-ed25519`.
    pub key_type: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

impl Shown {
    /// Of that key.
    pub fn of(key: &PublicKey) -> Self {
        Self {
            key_type: key.algorithm().as_str().to_owned(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        }
    }
}

/// Where a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file.
    pub file: PathBuf,
    /// One-based line.
    pub line: usize,
}

/// What the files say of a key that a host presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Recorded for this host.
    Known,
    /// Nothing is recorded for this host.
    Unknown,
    /// Something else is recorded for this host, or this key is revoked.
    Changed(Place),
}

/// What the files record for one host.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    keys: Vec<(Place, PublicKey)>,
    revoked: Vec<(Place, PublicKey)>,
    authority: Option<Place>,
}

/// The name a host is recorded under: `host`, or `[host]:port` for a port other than 22.
pub(super) fn record_name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

impl Records {
    /// Reads all files for one host. A file that does not exist is empty; one that cannot be read is an error.
    pub fn read(files: &[PathBuf], host: &str, port: u16) -> Result<Self, String> {
        let mut records = Self::default();
        for file in files {
            match std::fs::read(file) {
                Ok(bytes) => records.add(file, &String::from_utf8_lossy(&bytes), &record_name(host, port))?,
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => {
                    return Err(tr!(
                        "{file} cannot be read ({e}), so no host key can be checked; make it readable",
                        file = file.display(),
                        e = e
                    ));
                }
            }
        }
        Ok(records)
    }

    fn add(&mut self, file: &Path, text: &str, name: &str) -> Result<(), String> {
        for (number, raw) in text.lines().enumerate() {
            // The parser wants single blanks.
            let line = raw.split_whitespace().collect::<Vec<_>>().join(" ");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = Place { file: file.to_owned(), line: number + 1 };
            match line.parse::<Entry>() {
                Ok(entry) if matches(entry.host_patterns(), name) => match entry.marker() {
                    None => self.keys.push((place, entry.public_key().clone())),
                    Some(Marker::Revoked) => self.revoked.push((place, entry.public_key().clone())),
                    Some(Marker::CertAuthority) => self.authority = self.authority.take().or(Some(place)),
                },
                // Other lines that make no sense only fail to vouch; this one would fail to forbid.
                Err(_) if line.starts_with("@revoked") => {
                    return Err(tr!(
                        "{file} line {place}: a revoked key that cannot be parsed; mend the line",
                        file = file.display(),
                        place = place.line
                    ));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// What they say of a presented key. A key of another type than those recorded counts as changed: whoever is in
    /// between would present exactly that.
    pub fn verdict(&self, key: &PublicKey) -> Verdict {
        let same = |(_, k): &&(Place, PublicKey)| k.key_data() == key.key_data();
        if let Some((place, _)) = self.revoked.iter().find(same) {
            return Verdict::Changed(place.clone());
        }
        if self.keys.iter().any(|k| same(&k)) {
            return Verdict::Known;
        }
        let other = self.keys.iter().find(|(_, k)| k.algorithm() == key.algorithm()).or(self.keys.first());
        other.map_or(Verdict::Unknown, |(place, _)| Verdict::Changed(place.clone()))
    }

    /// The line that vouches for this host by `@cert-authority` alone, which is not supported.
    pub fn only_authority(&self) -> Option<&Place> {
        if self.keys.is_empty() { self.authority.as_ref() } else { None }
    }

    /// The host key algorithms to ask for: those on record first, so that a host is asked for the key it is known by.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let rank = |a: &Algorithm| {
            self.keys.iter().position(|(_, k)| match (k.algorithm(), a) {
                (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
                (recorded, a) => recorded == *a,
            })
        };
        let (mut known, other): (Vec<_>, Vec<_>) = OFFERED.iter().cloned().partition(|a| rank(a).is_some());
        known.sort_by_key(|a| rank(a));
        known.into_iter().chain(other).collect()
    }
}

/// Strongest first; no SHA-1, no certificates.
const OFFERED: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let hit = |p: &str| glob(p.to_lowercase().as_bytes(), name.as_bytes());
            patterns.iter().all(|p| !p.strip_prefix('!').is_some_and(hit))
                && patterns.iter().any(|p| !p.starts_with('!') && hit(p))
        }
    }
}

/// `*` and `?`, everything else literal (brackets too), as ssh does it.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                // Let the last star swallow one more.
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Adds a key to a known-hosts file: one write at its end, what is there stays, a new file is 0600 and a new folder 0700.
pub(super) fn learn(file: &Path, host: &str, port: u16, key: &PublicKey) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let put = || -> std::io::Result<()> {
        if let Some(parent) = file.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let mut f = std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
        // An entry glued to an unfinished last line would spoil both.
        let mut last = [b'\n'];
        if f.metadata()?.is_file() && f.metadata()?.len() > 0 {
            f.seek(SeekFrom::End(-1))?;
            f.read_exact(&mut last)?;
        }
        let bare = PublicKey::from(key.key_data().clone()).to_openssh().map_err(std::io::Error::other)?;
        let gap = if last == [b'\n'] { "" } else { "\n" };
        f.write_all(format!("{gap}{} {}\n", record_name(host, port), bare.trim_end()).as_bytes())?;
        if f.metadata()?.is_file() { f.sync_all() } else { Ok(()) }
    };
    put().map_err(|e| {
        tr!("the accepted host key could not be added to {file} ({e}); make it writable", file = file.display(), e = e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";
    const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
    /// The hashed name of some other host.
    const HASHED: &str = "|1|lcY/In3lsGnkJikLENb0DM70B/I=|Qs4e9Nr7mM6avuEv02fw2uFnwQo=";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    fn verdict(file: &str, host: &str, port: u16, presented: &str) -> Verdict {
        let mut r = Records::default();
        r.add(Path::new("kh"), file, &record_name(host, port)).unwrap();
        r.verdict(&key(presented))
    }

    fn changed(line: usize) -> Verdict {
        Verdict::Changed(Place { file: "kh".into(), line })
    }

    #[test]
    fn unknown_known_and_changed_are_told_apart() {
        let file = format!("# comment\n\nm1,10.0.0.1   {A} ann@laptop\nm2 {B}\n");
        assert_eq!(verdict(&file, "m1", 22, A), Verdict::Known);
        assert_eq!(verdict(&file, "10.0.0.1", 22, A), Verdict::Known);
        assert_eq!(verdict(&file, "m1", 22, B), changed(3));
        assert_eq!(verdict(&file, "m3", 22, A), Verdict::Unknown);
        assert_eq!(verdict(&file, "M1", 22, A), Verdict::Known, "host names have no case");
        assert_eq!(verdict(&file, "m1", 2222, A), Verdict::Unknown, "another port is another host");
        assert_eq!(verdict(&format!("[m1]:2222 {A}"), "m1", 2222, A), Verdict::Known);
    }

    #[test]
    fn a_key_of_another_type_than_recorded_is_a_change() {
        assert_eq!(verdict(&format!("m1 {A}\n"), "m1", 22, EC), changed(1));
        assert_eq!(verdict(&format!("m1 {A}\nm1 {EC}\n"), "m1", 22, EC), Verdict::Known);
    }

    #[test]
    fn revoked_beats_known_wherever_it_stands() {
        let file = format!("m1 {A}\n@revoked * {A}\n");
        assert_eq!(verdict(&file, "m1", 22, A), changed(2));
        assert_eq!(verdict(&file, "m9", 22, A), changed(2));
        assert_eq!(verdict(&file, "m9", 22, B), Verdict::Unknown);
        let mut r = Records::default();
        assert!(r.add(Path::new("kh"), "@revoked * ssh-ed25519 garbage\n", "m1").unwrap_err().contains("line 1"));
        assert!(r.add(Path::new("kh"), "m1 ssh-ed25519 garbage\n", "m1").is_ok());
    }

    #[test]
    fn wildcards_and_negations_match_as_in_ssh() {
        let file = format!("10.0.0.*,!10.0.0.9,[*.lan]:2?2 {A}\n");
        assert_eq!(verdict(&file, "10.0.0.1", 22, A), Verdict::Known);
        assert_eq!(verdict(&file, "10.0.0.9", 22, A), Verdict::Unknown);
        assert_eq!(verdict(&file, "a.lan", 212, A), Verdict::Known);
        assert!(glob(b"*a*b", b"xxaxxbxb") && !glob(b"*a*b", b"xxaxxbxc") && glob(b"**", b"") && !glob(b"?", b""));
    }

    #[test]
    fn hashed_entries_match_their_host_only() {
        // Made the way ssh-keygen -H does: HMAC-SHA1 of the name under a random salt.
        let salt = [7u8; 20];
        let hash = Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update(b"[m1]:2222").finalize().into_bytes();
        let b64 = |b: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, b);
        let file = format!("{HASHED} {B}\n|1|{}|{} {A}\n", b64(&salt), b64(&hash));
        assert_eq!(verdict(&file, "m1", 2222, A), Verdict::Known);
        assert_eq!(verdict(&file, "m1", 2222, B), changed(2));
        assert_eq!(verdict(&file, "m1", 22, A), Verdict::Unknown);
    }

    #[test]
    fn recorded_types_are_asked_for_first_and_sha1_never() {
        let mut r = Records::default();
        r.add(Path::new("kh"), &format!("m1 {EC}\n"), "m1").unwrap();
        let asked = r.algorithms();
        assert_eq!(asked[0], Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
        assert_eq!(asked.len(), OFFERED.len());
        assert!(!asked.contains(&Algorithm::Rsa { hash: None }));
    }

    #[test]
    fn an_authority_line_alone_is_noticed() {
        let mut r = Records::default();
        r.add(Path::new("kh"), &format!("@cert-authority *.lan {A}\n"), "m1.lan").unwrap();
        assert_eq!(r.only_authority().map(|p| p.line), Some(1));
        assert_eq!(r.verdict(&key(A)), Verdict::Unknown, "an authority's key is no host's key");
        r.add(Path::new("kh"), &format!("m1.lan {B}\n"), "m1.lan").unwrap();
        assert_eq!(r.only_authority(), None);
    }

    #[test]
    fn an_unreadable_file_is_an_error_and_a_missing_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Records::read(&[dir.path().join("none")], "m1", 22).is_ok());
        // A folder reads as neither text nor nothing, even for root.
        let why = Records::read(&[dir.path().to_owned()], "m1", 22).unwrap_err();
        assert!(why.contains("cannot be read"), "{why}");
    }

    #[test]
    fn learning_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/.ssh/known_hosts");
        learn(&file, "m1", 22, &key(A)).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(&file, format!("m0 {B}")).unwrap();
        learn(&file, "m1", 2222, &key(A)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("m0 {B}\n[m1]:2222 {A}\n"));
        let again = Records::read(&[file], "m1", 2222).unwrap();
        assert_eq!(again.verdict(&key(A)), Verdict::Known);
    }
}
