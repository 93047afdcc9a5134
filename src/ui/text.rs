//! Text measured in columns, not bytes: cutting, wrapping, and numbers for the eye.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::lang;

/// Columns a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Cut to at most `columns`, with `…` in the last one where something is missing.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = take(text, columns.saturating_sub(1)).to_owned();
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Cut and filled with spaces to exactly `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&out))));
    out
}

/// Cut and filled on the left, for numbers.
pub fn pad_left(text: &str, columns: usize) -> String {
    let cut = fit(text, columns);
    let missing = columns.saturating_sub(width(&cut));
    format!("{}{cut}", " ".repeat(missing))
}

/// The longest start of `text` that takes at most `columns`.
fn take(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (i, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return &text[..i];
        }
    }
    text
}

/// The same, up to a blank in the last quarter where there is one: half a word is hard to read.
fn take_words(text: &str, columns: usize) -> &str {
    let taken = take(text, columns);
    if taken.len() == text.len() {
        return taken;
    }
    match taken.rfind(' ') {
        Some(blank) if width(&taken[..blank]) >= columns - columns / 4 => &taken[..=blank],
        _ => taken,
    }
}

/// Prose, wrapped at spaces and between Chinese characters; lines of the text stay lines, an empty text is no line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let options = textwrap::Options::new(columns)
        .word_separator(lang::separator())
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    text.trim_end().lines().flat_map(|line| textwrap::wrap(line, &options)).map(std::borrow::Cow::into_owned).collect()
}

/// Code and logs, wrapped where the column ends, or at a blank shortly before, and nothing dropped; continued lines begin
/// with `↪ `.
pub fn wrap_code(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(4);
    let mut out = Vec::new();
    for line in text.lines() {
        let first = take_words(line, columns);
        out.push(first.to_owned());
        let mut rest = &line[first.len()..];
        while !rest.is_empty() {
            let part = take_words(rest, columns - 2);
            out.push(format!("↪ {part}"));
            rest = &rest[part.len()..];
        }
    }
    out
}

/// Two spaces and bytes a second for the eye; nothing within the first half second, which tells little.
pub fn rate(done: u64, running: Duration) -> String {
    let millis = running.as_millis();
    if millis < 500 {
        return String::new();
    }
    let per_second = u128::from(done) * 1000 / millis;
    format!("  {}/s", bytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// Bytes for the eye: `512 B`, `1.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 100.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A duration for the eye: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..10 if d.subsec_millis() >= 50 || s == 0 => format!("{:.1} s", d.as_secs_f64()),
        0..60 => format!("{s} s"),
        60..3600 => tr!("{minutes} min {seconds} s", minutes = s / 60, seconds = format_args!("{:02}", s % 60)),
        _ => tr!("{hours} h {minutes} min", hours = s / 3600, minutes = format_args!("{:02}", s / 60 % 60)),
    }
}

/// A duration in milliseconds for the eye: `0.8 ms`, `12 ms`, `1.2 s`.
pub fn latency(d: Duration) -> String {
    match d.as_millis() {
        0..10 => format!("{:.1} ms", d.as_secs_f64() * 1000.0),
        10..1000 => format!("{} ms", d.as_millis()),
        _ => format!("{:.1} s", d.as_secs_f64()),
    }
}

/// A clock's distance from the operator's: `+0.2 s`.
pub fn clock_offset(offset_ms: i64) -> String {
    let sign = if offset_ms < 0 { '-' } else { '+' };
    let ms = offset_ms.unsigned_abs();
    format!("{sign}{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// Values as a line of small bars, the highest one full; gaps where there is none.
pub fn sparkline(values: &[Option<u64>]) -> String {
    sparkline_of(values, values.iter().flatten().copied().max().unwrap_or(0))
}

/// The same, with what a full bar stands for.
pub fn sparkline_of(values: &[Option<u64>], most: u64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = most.max(1);
    let bar = |value: u64| BARS[usize::try_from(value.saturating_mul(7).div_ceil(most)).unwrap_or(7).min(7)];
    values.iter().map(|v| v.map_or('×', bar)).collect()
}

/// A bar of `columns` cells, filled by `done / total`.
pub fn bar(done: u64, total: u64, columns: usize) -> String {
    let filled = if total == 0 {
        0
    } else {
        let part = u128::from(done.min(total)) * columns as u128 / u128::from(total);
        usize::try_from(part).unwrap_or(columns)
    };
    format!("{}{}", "█".repeat(filled), "░".repeat(columns - filled))
}

/// Whole per cent, 100 only when all is done.
pub fn percent(done: u64, total: u64) -> u64 {
    if total == 0 {
        return 0;
    }
    u64::try_from(u128::from(done.min(total)) * 100 / u128::from(total)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_glyphs_are_never_cut_in_half() {
        assert_eq!(fit("主节点", 6), "主节点");
        assert_eq!(fit("主节点", 5), "主节…");
        assert_eq!(width(&fit("主节点", 4)), 3);
        assert_eq!(pad("主节点", 4), "主… ");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad_left("7", 3), "  7");
    }

    #[test]
    fn code_loses_no_character_when_wrapped() {
        let code = "etcd --initial-cluster=a=https://10.0.0.1:2380,主=b";
        for columns in 4..60 {
            let lines = wrap_code(code, columns);
            assert!(lines.iter().all(|l| width(l) <= columns), "{columns}");
            assert_eq!(lines.iter().map(|l| l.trim_start_matches("↪ ")).collect::<String>(), code, "{columns}");
        }
        assert_eq!(wrap_code("systemctl enable --now etcd", 21), ["systemctl enable ", "↪ --now etcd"]);
        assert_eq!(wrap_code("cat averylongnameofafile", 12), ["cat averylon", "↪ gnameofafi", "↪ le"]);
    }

    #[test]
    fn prose_is_wrapped_at_spaces_and_long_words_are_broken() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("--initial-cluster", 20), ["--initial-cluster"]);
        assert!(wrap("一二三四五六七八", 6).iter().all(|l| width(l) <= 6));
        assert!(wrap("", 10).is_empty());
    }

    #[test]
    fn a_sparkline_shows_the_highest_value_full_and_what_is_missing() {
        assert_eq!(sparkline(&[Some(0), Some(1), Some(8), None, Some(4)]), "▁▂█×▅");
        assert_eq!(sparkline(&[Some(0), Some(0)]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(25 << 20), "25.0 MiB");
        assert_eq!(duration(Duration::from_millis(400)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(12)), "12 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
        assert_eq!(latency(Duration::from_micros(800)), "0.8 ms");
        assert_eq!(bar(1, 2, 4), "██░░");
        assert_eq!(bar(9, 0, 3), "░░░");
        assert_eq!(percent(999, 1000), 99);
    }
}
