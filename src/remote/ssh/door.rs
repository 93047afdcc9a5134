//! How a script becomes root's on one host: the line the login shell gets, with sudo or without.
//!
//! Found out once per host by running a harmless script: whether the login shell hands a quoted script on unharmed, whether
//! it stays silent, and whether the script runs as root.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

use crate::remote::SecretBytes;

/// Linux takes no longer single argument (128 KiB), and sshd passes the whole line as one.
const LONGEST: usize = 120 << 10;
/// Ends what of a sudo password sudo itself may have left unread.
const END_OF_PASSWORD: &str = "banister: end of password";
/// Holds everything a login shell might trip over: quotes, backslashes, a history sign, a newline.
pub(super) const PROBE: &str = "printf '%s\\n' 'it'\"'\"'s a\\\\b!\nc'; id -u";
/// What [`PROBE`] prints before the user id.
const PROBED: &str = "it's a\\\\b!\nc\n";
/// How often a wrong sudo password may be corrected.
pub(super) const ATTEMPTS: usize = 3;

/// Whose rights the script gets.
#[derive(Clone, Default)]
pub(super) enum Rights {
    /// The login user's.
    #[default]
    Own,
    /// Root's, by sudo without a password.
    Sudo,
    /// Root's, by sudo with this password.
    SudoPassword(SecretString),
    /// The same while the password is tried, for a script that reads nothing: only one line is sent, because sudo would
    /// take a second one for a second guess, and guesses lock accounts.
    SudoTry(SecretString),
}

/// How to run a script on one host.
#[derive(Clone, Default)]
pub(super) struct Door {
    /// Whose rights.
    pub rights: Rights,
    /// The login shell spoils quoted scripts (fish, csh): send them in base64.
    pub encoded: bool,
}

impl Door {
    /// The one line for the login shell.
    pub fn command(&self, script: &str) -> Result<String, String> {
        // Programs must speak the language their answers are read in.
        let mut whole = String::from("export LC_ALL=C\n");
        if let Rights::SudoPassword(_) = self.rights {
            // Sudo may have needed no password after all: what it left is skipped, so that it never becomes content.
            whole += "while IFS= read -r banister_line && [ \"$banister_line\" != '";
            whole += END_OF_PASSWORD;
            whole += "' ]; do :; done\n";
        }
        let script = whole + script;
        let shell = if self.encoded {
            format!("/bin/sh -c 'eval \"$(printf %s {} | base64 -d)\"'", STANDARD.encode(script))
        } else {
            format!("/bin/sh -c {}", quote(&script))
        };
        let line = match self.rights {
            Rights::Own => format!("exec {shell}"),
            Rights::Sudo => format!("exec sudo -n -- {shell}"),
            // -k: sudo asks even if it has just been told, so that the password never reaches the script.
            Rights::SudoPassword(_) | Rights::SudoTry(_) => format!("exec sudo -k -S -p '' -- {shell}"),
        };
        if line.len() > LONGEST {
            return Err(tr!(
                "its script is {length} bytes long, which no shell takes; this is a bug in banister",
                length = line.len()
            ));
        }
        Ok(line)
    }

    /// What has to come first on standard input.
    pub fn preamble(&self) -> Option<SecretBytes> {
        match &self.rights {
            Rights::SudoPassword(password) => {
                Some(SecretBytes::new(format!("{}\n{END_OF_PASSWORD}\n", password.expose_secret()).into_bytes()))
            }
            Rights::SudoTry(password) => Some(SecretBytes::new(format!("{}\n", password.expose_secret()).into_bytes())),
            Rights::Own | Rights::Sudo => None,
        }
    }
}

/// Single quotes around, as every Bourne shell reads them back.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What came of [`PROBE`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// All well; the user id.
    Clean(u32),
    /// The login shell printed something of its own first.
    Noisy(String),
    /// The script did not arrive as it was sent.
    Spoiled,
}

/// Reads what [`PROBE`] printed.
pub(super) fn probed(stdout: &str) -> Probed {
    let Some((noise, rest)) = stdout.split_once(PROBED) else { return Probed::Spoiled };
    match rest.trim_end().parse() {
        Ok(uid) if noise.is_empty() => Probed::Clean(uid),
        Ok(_) => Probed::Noisy(noise.to_owned()),
        Err(_) => Probed::Spoiled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    /// What the line does when a login shell gets it, standard input given; `sudo` stands before the rest on PATH.
    fn under(line: &str, stdin: &[u8], sudo: &str) -> String {
        let bin = tempfile::tempdir().unwrap();
        let fake = bin.path().join("sudo");
        std::fs::write(&fake, format!("#!/bin/sh\n{sudo}\n")).unwrap();
        std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
        let mut child = Command::new("sh")
            .args(["-c", line])
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    #[test]
    fn a_script_arrives_unharmed_plain_and_encoded() {
        for encoded in [false, true] {
            let door = Door { encoded, ..Door::default() };
            let out = under(&door.command(PROBE).unwrap(), b"", "");
            assert!(matches!(probed(&out), Probed::Clean(_)), "{encoded}: {out:?}");
        }
    }

    #[test]
    fn an_encoded_line_holds_nothing_a_shell_could_trip_over() {
        let line = Door { encoded: true, ..Door::default() }.command(PROBE).unwrap();
        assert!(!line.contains(['\\', '!', '\n']), "{line}");
    }

    #[test]
    fn noise_and_damage_are_told_apart() {
        assert_eq!(probed("it's a\\\\b!\nc\n0\n"), Probed::Clean(0));
        assert_eq!(probed("Welcome!\nit's a\\\\b!\nc\n0\n"), Probed::Noisy("Welcome!\n".into()));
        assert_eq!(probed("it's a\\b!\nc\n0\n"), Probed::Spoiled);
        assert_eq!(probed(""), Probed::Spoiled);
    }

    #[test]
    fn a_sudo_password_never_reaches_the_script_whether_sudo_reads_it_or_not() {
        let door = Door { rights: Rights::SudoPassword("hunter2".into()), encoded: false };
        let line = door.command("cat").unwrap();
        assert!(!line.contains("hunter2"), "the password must not be in argv");
        let mut stdin = door.preamble().unwrap().expose().to_vec();
        stdin.extend_from_slice(b"content\n");
        let skip_options = "while [ \"$1\" != -- ]; do shift; done; shift";
        let reads = format!("read -r password; [ \"$password\" = hunter2 ] || exit 9; {skip_options}; exec \"$@\"");
        assert_eq!(under(&line, &stdin, &reads), "content\n");
        assert_eq!(under(&line, &stdin, &format!("{skip_options}; exec \"$@\"")), "content\n");
    }

    #[test]
    fn a_script_too_long_for_one_argument_is_refused() {
        assert!(Door::default().command(&"x".repeat(LONGEST)).is_err());
    }
}
