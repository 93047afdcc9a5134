//! Output from hosts is hostile until cleaned: control characters and escape sequences never reach the terminal.

/// One line, with tabs made spaces and every other control, escape, bidirectional or line-breaking character removed.
///
/// An escape sequence (CSI, OSC and the like) is dropped whole, so that its parameters do not read as text.
pub fn line(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\t' => out.push_str("    "),
            c if is_unsafe(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Text of several lines, each cleaned by [`line`]; `\r\n` and `\r` end a line too.
pub fn text(raw: &str) -> String {
    let unified = raw.replace("\r\n", "\n").replace('\r', "\n");
    unified.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The last `lines` non-empty lines of cleaned text, joined by ` | `, for an error message.
pub fn tail(cleaned: &str, lines: usize) -> String {
    let all: Vec<_> = cleaned.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join(" | ")
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_escape(chars: &mut Chars<'_>) {
    match chars.next() {
        Some('[') => skip_csi(chars),
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(chars),
        // Intermediate bytes, then one final byte.
        Some(' '..='/') => while matches!(chars.next(), Some(' '..='/')) {},
        _ => {}
    }
}

fn skip_csi(chars: &mut Chars<'_>) {
    while let Some(&c) = chars.peek() {
        if !('\u{20}'..='\u{7e}').contains(&c) {
            return;
        }
        chars.next();
        if c >= '\u{40}' {
            return;
        }
    }
}

fn skip_string(chars: &mut Chars<'_>) {
    while let Some(c) = chars.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' if chars.peek() == Some(&'\\') => {
                chars.next();
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_dropped_whole() {
        assert_eq!(line("a\u{1b}[31;1mred\u{1b}[0m b"), "ared b");
        assert_eq!(line("t\u{1b}]0;owned\u{7}x"), "tx");
        assert_eq!(line("t\u{1b}]52;c;aGk=\u{1b}\\x"), "tx");
        assert_eq!(line("a\u{9b}2Jb\u{1b}(Bc"), "abc");
        assert_eq!(line("bell\u{7} nul\u{0} del\u{7f}"), "bell nul del");
        assert_eq!(line("\u{202e}evil\u{2066}"), "evil");
    }

    #[test]
    fn plain_text_wide_glyphs_and_tabs_stay() {
        assert_eq!(line("主节点\tok é"), "主节点    ok é");
        assert_eq!(text("a\r\nb\rc\n"), "a\nb\nc\n");
    }

    #[test]
    fn an_unfinished_sequence_swallows_no_more_than_its_line() {
        assert_eq!(text("x\u{1b}[\ny\u{1b}]0;\nz"), "x\ny\nz");
    }

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("a\n\nb\nc\n", 2), "b | c");
    }
}
