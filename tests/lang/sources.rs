//! The texts in the sources: every `tr!`, `trs!` and `mark!`, found among the tokens of Rust's own grammar.

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::catalog::placeholders;

/// A text that wants its Chinese.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// `src/FILE:LINE`.
    pub place: String,
    /// What its entry is called: the English text, of a count the plural's.
    pub key: String,
    /// The room it stands in, and so the file of its Chinese.
    pub room: String,
}

/// Every text in `src/`, and what is against the rules.
pub fn texts() -> (Vec<Text>, Vec<String>) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut found, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    gather(&src, &mut files);
    files.sort();
    for file in files {
        let name = file.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        // The macros are made and tried there.
        if name != "lang/mod.rs" {
            read(&name, &std::fs::read_to_string(&file).unwrap(), &mut found, &mut wrong);
        }
    }
    (found, wrong)
}

fn gather(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => gather(&path, files),
            false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
            false => {}
        }
    }
}

fn read(name: &str, source: &str, found: &mut Vec<Text>, wrong: &mut Vec<String>) {
    let tokens: TokenStream = source.parse().unwrap_or_else(|e| panic!("src/{name}: {e}"));
    walk(name, tokens, found, wrong);
}

fn walk(name: &str, tokens: TokenStream, found: &mut Vec<Text>, wrong: &mut Vec<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        if let [.., TokenTree::Ident(ident), TokenTree::Punct(mark)] = &tokens[..i]
            && mark.as_char() == '!'
            && ["tr", "trs", "mark"].iter().any(|m| ident == m)
            && group.delimiter() != Delimiter::None
        {
            let place = format!("src/{name}:{}", ident.span().start().line);
            let inside: Vec<_> = group.stream().into_iter().collect();
            // The others fill nothing in: a brace is a brace there.
            let key = if ident == "tr" { text(&inside) } else { literal(inside.first()) };
            match key {
                Ok(key) => {
                    let room = name.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
                    found.push(Text { place, key, room });
                }
                Err(why) => wrong.push(format!("{place}: {why}")),
            }
        }
        walk(name, group.stream(), found, wrong);
    }
}

/// The key of what stands between a macro's parentheses.
fn text(inside: &[TokenTree]) -> Result<String, String> {
    let one = literal(inside.first())?;
    let (mut key, mut named) = (one.clone(), named(inside));
    if matches!(inside.get(1), Some(TokenTree::Punct(p)) if p.as_char() == '|') {
        key = literal(inside.get(2))?;
        named.push("n".into());
        if let Some(extra) = placeholders(&one).iter().find(|p| !placeholders(&key).contains(p)) {
            return Err(format!("the singular has {{{extra}}}, the plural has not: {one:?}"));
        }
    }
    for p in placeholders(&key) {
        // One caught from the scope, or with a format, would not be filled in where the text is translated.
        if !named.contains(&p) {
            return Err(format!("the placeholder {{{p}}} of {key:?} is not passed as `{p} = …`"));
        }
    }
    Ok(key)
}

fn literal(token: Option<&TokenTree>) -> Result<String, String> {
    let Some(TokenTree::Literal(literal)) = token else { return Err("the text must be a literal".into()) };
    match syn::Lit::new(literal.clone()) {
        syn::Lit::Str(text) => Ok(text.value()),
        _ => Err(format!("the text must be a string, not {literal}")),
    }
}

/// The names passed: each identifier that follows a comma and comes before a single `=`.
fn named(inside: &[TokenTree]) -> Vec<String> {
    let is = |token: &TokenTree, c: char| matches!(token, TokenTree::Punct(p) if p.as_char() == c);
    let mut names = Vec::new();
    for four in inside.windows(4) {
        if let [comma, TokenTree::Ident(name), equals, next] = four
            && is(comma, ',')
            && is(equals, '=')
            && !is(next, '=')
        {
            names.push(name.to_string());
        }
    }
    names
}

fn told(source: &str) -> (Vec<String>, Vec<String>) {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    read("ui/x.rs", source, &mut found, &mut wrong);
    (found.into_iter().map(|t| format!("{} {} {}", t.place, t.room, t.key)).collect(), wrong)
}

#[test]
fn texts_are_found_wherever_they_stand() {
    let source = r#"
        // tr!("a comment")
        const A: &str = mark!("a constant");
        #[error("{}", tr!("{host} is \"down\"", host = host))]
        fn f() -> String { format!("{} {}", trs!("inner"), tr!("one" | "{n} of {all}" % 3, all = g(tr!("deep")))) }
    "#;
    let (found, wrong) = told(source);
    assert_eq!(
        found,
        [
            "src/ui/x.rs:3 ui a constant",
            "src/ui/x.rs:4 ui {host} is \"down\"",
            "src/ui/x.rs:5 ui inner",
            "src/ui/x.rs:5 ui {n} of {all}",
            "src/ui/x.rs:5 ui deep"
        ]
    );
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_could_not_be_translated_is_refused() {
    let (_, wrong) =
        told(r#"fn f() { tr!("{host} caught"); tr!("{x:?}", x = 1); tr!(text); tr!("{a}" | "many" % 2, a = 1); }"#);
    assert_eq!(wrong.len(), 4, "{wrong:?}");
    assert!(wrong[0].ends_with("the placeholder {host} of \"{host} caught\" is not passed as `host = …`"), "{wrong:?}");
}
