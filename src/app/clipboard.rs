//! The operator's clipboard, by OSC 52: the terminal takes the text, where it allows that, over SSH too.

use std::io::Write as _;

use base64::Engine as _;

/// Sends a text to the terminal's clipboard.
pub(super) fn copy(text: &str) {
    let sequence = sequence(text, |name| std::env::var(name).ok());
    let mut out = std::io::stdout().lock();
    // A terminal that is gone has no clipboard.
    let _ = out.write_all(sequence.as_bytes()).and_then(|()| out.flush());
}

/// The sequence, wrapped where GNU screen stands in between: it would swallow it. tmux takes it as it is.
fn sequence(text: &str, var: impl Fn(&str) -> Option<String>) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let osc = format!("\x1b]52;c;{encoded}\x07");
    let screen = var("TERM").is_some_and(|t| t.starts_with("screen")) && var("TMUX").is_none();
    if !screen {
        return osc;
    }
    // screen passes on at most 768 bytes of a string at a time.
    let parts = osc.as_bytes().chunks(512).map(|part| format!("\x1bP{}\x1b\\", String::from_utf8_lossy(part)));
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_term(term: &str, tmux: bool) -> impl Fn(&str) -> Option<String> + '_ {
        move |name| match name {
            "TERM" => Some(term.to_owned()),
            "TMUX" if tmux => Some("/tmp/tmux-0/default,1,0".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_sequence_reaches_the_terminal_around_gnu_screen() {
        assert_eq!(sequence("hi", in_term("xterm", false)), "\x1b]52;c;aGk=\x07");
        assert_eq!(sequence("hi", in_term("screen-256color", true)), "\x1b]52;c;aGk=\x07");
        let long = "x".repeat(3000);
        let wrapped = sequence(&long, in_term("screen", false));
        let parts: Vec<&str> = wrapped.split("\x1b\\").filter(|p| !p.is_empty()).collect();
        assert!(parts.len() > 2 && parts.iter().all(|p| p.starts_with("\x1bP") && p.len() <= 514), "{}", parts.len());
        let joined: String = parts.iter().map(|p| &p[2..]).collect();
        assert_eq!(joined, sequence(&long, in_term("xterm", false)));
    }
}
