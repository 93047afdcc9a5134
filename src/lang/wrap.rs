//! Where a line of text may be broken: at spaces, and between Chinese characters, which have none.

use textwrap::{WordSeparator, core::Word};
use unicode_width::UnicodeWidthChar;

/// Characters that must not begin a line.
const CLOSING: &str = "，。、；：？！）》」』”’…·";

/// Characters that must not end a line.
const OPENING: &str = "（《「『“‘";

/// Breaks at spaces, and before and after wide characters except where punctuation would stand on the wrong line.
pub fn separator() -> WordSeparator {
    WordSeparator::Custom(|line| Box::new(pieces(line).into_iter().map(Word::from)))
}

fn pieces(line: &str) -> Vec<&str> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    let mut previous: Option<char> = None;
    for (i, c) in line.char_indices() {
        if previous.is_some_and(|p| may_break(p, c)) {
            pieces.push(&line[start..i]);
            start = i;
        }
        previous = Some(c);
    }
    if start < line.len() {
        pieces.push(&line[start..]);
    }
    pieces
}

fn may_break(before: char, after: char) -> bool {
    if after == ' ' || OPENING.contains(before) || CLOSING.contains(after) {
        return false;
    }
    // Quotes are narrow and punctuation all the same: a break after one of these is one beside Chinese.
    before == ' ' || wide(before) || wide(after) || OPENING.contains(after)
}

fn wide(c: char) -> bool {
    c.width() == Some(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: usize) -> Vec<String> {
        let options = textwrap::Options::new(width)
            .word_separator(separator())
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        textwrap::wrap(text, options).into_iter().map(Into::into).collect()
    }

    #[test]
    fn english_breaks_at_spaces_alone() {
        assert_eq!(pieces("one  two --initial-cluster"), ["one  ", "two ", "--initial-cluster"]);
    }

    #[test]
    fn chinese_breaks_between_characters_and_keeps_punctuation_and_names_whole() {
        assert_eq!(pieces("成员，etcd（新）。"), ["成", "员，", "etcd", "（新）。"]);
        assert_eq!(wrapped("重启 etcd 成员，然后等待。", 12), ["重启 etcd 成", "员，然后等", "待。"]);
        assert!(wrapped("一二三四五六，七", 12).iter().all(|l| !l.starts_with('，')));
    }
}
