//! Two keys: a second person's yes to a point of no return.
//!
//! The second person runs `banister witness` on a terminal of their own. It makes a secret and shows it once, as the
//! [`Pairing`] line; the second person types that line at the operator's terminal when the run begins. Before a point of no
//! return the operator's screen shows the step and a number made for this question alone. The second person types both at
//! their own terminal, reads there what the step does, agrees, and gets a code of six digits: an HOTP value (RFC 4226) of
//! the secret over step and number, good for this question and for no other.
//!
//! What it is good for: nobody goes past such a point alone, by habit or by mistake, and both names are on record. What it
//! is not: a fence against the operator, who is root on every host and needs no wizard.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha1::{Digest as _, Sha1};

use super::step::StepId;
use crate::remote::clean;

/// Bytes of a secret.
const SECRET: usize = 10;

/// Letters of a pairing line: none that are taken for each other (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Most columns of a name.
const NAME: usize = 40;

/// A name and a secret, as the second person's terminal shows them.
pub struct Pairing {
    name: String,
    secret: SecretSlice<u8>,
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pairing({})", self.name)
    }
}

/// That a second person agreed to one step, once. Made by [`Pairing::check`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Second {
    step: StepId,
    name: String,
}

impl Second {
    /// Which step.
    pub fn step(&self) -> &StepId {
        &self.step
    }

    /// Who.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What is wrong with a pairing line; ends in the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// Not a name and eighteen letters.
    #[error(
        "{}",
        trs!("that is no line of `banister witness`: a name, a space and eighteen letters; type it as it stands there")
    )]
    Form,
    /// A letter is wrong.
    #[error(
        "{}",
        trs!("a letter of that line is wrong; compare it with the one of `banister witness` and type it again")
    )]
    Check,
}

impl Pairing {
    /// For a name, with random bytes.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(name: &str) -> Result<Self, String> {
        Ok(Self { name: one_word(name), secret: random::<SECRET>()?.to_vec().into() })
    }

    /// The line to type at the operator's terminal: `NAME XXXX-XXXX-XXXX-XXXX-XX`.
    pub fn line(&self) -> String {
        let secret = self.secret.expose_secret();
        let mut letters = spell(secret);
        letters.push_str(&spell(&check(secret))[..2]);
        let groups: Vec<&str> = (0..letters.len()).step_by(4).map(|i| &letters[i..letters.len().min(i + 4)]).collect();
        format!("{} {}", self.name, groups.join("-"))
    }

    /// From the line as it was typed; letters taken for others are forgiven.
    ///
    /// # Errors
    /// When it is none, or a letter is wrong.
    pub fn parse(line: &str) -> Result<Self, PairingError> {
        let (name, letters) = line.trim().split_once(char::is_whitespace).ok_or(PairingError::Form)?;
        let mut values = Vec::new();
        for c in letters.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let c = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = LETTERS.iter().position(|l| char::from(*l) == c).ok_or(PairingError::Form)?;
            values.push(u8::try_from(value).map_err(|_| PairingError::Form)?);
        }
        let (Some(body), Some(sum)) = (values.get(..16), values.get(16..).filter(|s| s.len() == 2)) else {
            return Err(PairingError::Form);
        };
        let mut secret = Vec::with_capacity(SECRET);
        for eight in body.chunks(8) {
            let bits = eight.iter().fold(0_u64, |bits, five| bits << 5 | u64::from(*five));
            secret.extend_from_slice(&bits.to_be_bytes()[3..]);
        }
        let wanted: String = spell(&check(&secret))[..2].to_owned();
        let got: String = sum.iter().map(|v| char::from(LETTERS[usize::from(*v)])).collect();
        if wanted != got {
            return Err(PairingError::Check);
        }
        Ok(Self { name: one_word(name), secret: secret.into() })
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The code for a step and a number: six digits.
    pub fn code(&self, step: &str, number: &str) -> String {
        let digest = match Hmac::<Sha1>::new_from_slice(self.secret.expose_secret()) {
            Ok(mac) => {
                mac.chain_update(b"banister two keys\n").chain_update(step).chain_update(b"\n").chain_update(number)
            }
            // HMAC takes keys of any length.
            Err(_) => return String::new(),
        };
        let digest = digest.finalize().into_bytes();
        // RFC 4226, 5.3: where the last half byte says, 31 bits.
        let at = usize::from(digest[19] & 0xf);
        let bits = digest[at..at + 4].iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) & 0x7fff_ffff;
        format!("{:06}", bits % 1_000_000)
    }

    /// Whether a code is the one for a step and a number.
    pub fn check(&self, step: &StepId, number: &str, code: &str) -> Option<Second> {
        let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let right = self.code(&step.to_string(), number);
        let same =
            digits.len() == right.len() && digits.bytes().zip(right.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0;
        same.then(|| Second { step: step.clone(), name: self.name.clone() })
    }
}

/// A number for one question: five digits.
///
/// # Errors
/// When the system gives no random bytes.
pub fn number() -> Result<String, String> {
    Ok(format!("{:05}", u32::from_be_bytes(random::<4>()?) % 100_000))
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    let provider = rustls::crypto::ring::default_provider();
    provider
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| trs!("the system gives no random bytes; try again").to_owned())?;
    Ok(bytes)
}

/// The first five bytes of a digest: enough for two letters.
fn check(secret: &[u8]) -> Vec<u8> {
    Sha1::digest(secret)[..5].to_vec()
}

/// Five bytes are eight letters.
fn spell(bytes: &[u8]) -> String {
    let mut out = String::new();
    for five in bytes.chunks(5) {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - five.len()));
        out.extend((0..8).rev().map(|i| char::from(LETTERS[usize::try_from(bits >> (5 * i) & 31).unwrap_or(0)])));
    }
    out
}

/// A name without spaces or signs that do not print.
fn one_word(name: &str) -> String {
    let word: String = clean::line(name).split_whitespace().collect::<Vec<_>>().join("-").chars().take(NAME).collect();
    if word.is_empty() { "witness".into() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::HostName;

    fn step(host: &str) -> StepId {
        StepId { kind: "etcd.promote", host: Some(HostName::new(host)) }
    }

    #[test]
    fn what_one_terminal_shows_the_other_takes() {
        let witness = Pairing::new("Wang Fang\u{1b}[2J").unwrap();
        let line = witness.line();
        assert!(line.starts_with("Wang-Fang ") && line.len() == "Wang-Fang ".len() + 22, "{line}");
        let sloppy = line.to_lowercase().replace('-', " ").replacen("wang fang", "Wang-Fang", 1).replace('0', "o");
        for typed in [line.clone(), format!("  {line} "), sloppy] {
            let operator = Pairing::parse(&typed).unwrap();
            assert_eq!(operator.name(), "Wang-Fang");
            let code = witness.code("etcd.promote@master04", "48213");
            assert_eq!(code.len(), 6);
            let spaced = format!("{} {}", &code[..3], &code[3..]);
            let second = operator.check(&step("master04"), "48213", &spaced).unwrap();
            assert_eq!((second.name(), second.step()), ("Wang-Fang", &step("master04")));
        }
    }

    #[test]
    fn a_code_is_good_for_one_question_only() {
        let pairing = Pairing { name: "w".into(), secret: vec![7; SECRET].into() };
        let code = pairing.code("etcd.promote@master04", "48213");
        assert!(pairing.check(&step("master04"), "48213", &code).is_some());
        assert_eq!(pairing.check(&step("master05"), "48213", &code), None, "another step");
        assert_eq!(pairing.check(&step("master04"), "48214", &code), None, "another question");
        let other = Pairing { name: "w".into(), secret: vec![8; SECRET].into() };
        assert_eq!(other.check(&step("master04"), "48213", &code), None, "another person");
        for wrong in ["", "12345", "1234567", &format!("{code}0")] {
            assert_eq!(pairing.check(&step("master04"), "48213", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_slip_in_the_line_is_told_at_once() {
        let line = Pairing::new("w").unwrap().line();
        let last = if line.ends_with('Z') { 'Y' } else { 'Z' };
        let wrong = format!("{}{last}", &line[..line.len() - 1]);
        assert_eq!(Pairing::parse(&wrong).unwrap_err(), PairingError::Check);
        for none in ["", "w", "w ABC", "w UUUU-UUUU-UUUU-UUUU-UU", &format!("{line}0")] {
            assert_eq!(Pairing::parse(none).unwrap_err(), PairingError::Form, "{none}");
        }
    }

    #[test]
    fn the_secret_shows_in_no_debug_and_numbers_differ() {
        let pairing = Pairing::new("w").unwrap();
        assert_eq!(format!("{pairing:?}"), "Pairing(w)");
        let numbers: std::collections::BTreeSet<_> = (0..8).map(|_| number().unwrap()).collect();
        assert!(numbers.len() > 1 && numbers.iter().all(|n| n.len() == 5), "{numbers:?}");
    }
}
