//! The `upstream` of a worker's nginx.conf: servers are added in the form of their neighbours, everything else stays.
//!
//! The upstream is found by what it lists, not by its name: it is the block that lists every original master.

use std::{net::SocketAddr, ops::Range};

use super::EditError;

/// One master as a configuration may spell it: `address:port` first, then by name. All masters have their spellings in the
/// same order, so that a new one is written the way its neighbours are.
pub type Spellings = Vec<String>;

/// An `upstream` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// One-based line.
    pub line: usize,
    /// Its servers as they are spelled, in their order.
    pub servers: Vec<String>,
}

/// The upstreams that list every original.
pub fn upstreams(text: &str, originals: &[Spellings]) -> Result<Vec<Upstream>, EditError> {
    let found = found(text, originals)?;
    Ok(found
        .into_iter()
        .map(|b| Upstream {
            line: line_of(text, b.at),
            name: b.name,
            servers: b.servers.into_iter().map(|s| s.address).collect(),
        })
        .collect())
}

/// Those joiners that some upstream of the originals does not list yet.
pub fn lacking(text: &str, originals: &[Spellings], joiners: &[Spellings]) -> Result<Vec<String>, EditError> {
    let found = found(text, originals)?;
    let lacks = |j: &&Spellings| found.iter().any(|b| !b.lists(j));
    Ok(joiners.iter().filter(lacks).filter_map(|j| j.first().cloned()).collect())
}

/// The same file with the joiners in every upstream that lists the originals.
pub fn with_servers(text: &str, originals: &[Spellings], joiners: &[Spellings]) -> Result<String, EditError> {
    let mut out = text.to_owned();
    // From the last block to the first: what was found before stays where it was found.
    for block in found(text, originals)?.into_iter().rev() {
        let missing: Vec<&Spellings> = joiners.iter().filter(|j| !block.lists(j)).collect();
        let Some((template, spelling)) = template(&block, originals) else {
            return Err(EditError::Unclear {
                line: line_of(text, block.at),
                why: tr!(
                    "every master of upstream {name} is marked down or backup; add the new ones by hand",
                    name = block.name
                ),
            });
        };
        // After the last line that is a master's, whatever the one looks like that is copied.
        let last = block.servers.iter().rev().find(|s| s.is_any(originals) || s.is_any(joiners)).unwrap_or(template);
        let model = &text[template.span.clone()];
        let address =
            template.address_span.start - template.span.start..template.address_span.end - template.span.start;
        let mut added = String::new();
        let form = Form::of(text, last);
        for joiner in missing {
            let name = joiner.get(spelling).or(joiner.first()).map_or("", String::as_str);
            added.push_str(&form.before);
            added.push_str(&model[..address.start]);
            added.push_str(name);
            added.push_str(&model[address.end..]);
        }
        out.insert_str(form.at, &added);
    }
    Ok(out)
}

/// How a further server is put into the file.
struct Form {
    /// Where.
    at: usize,
    /// What comes before each: a line end with the indentation, or a space.
    before: String,
}

impl Form {
    fn of(text: &str, last: &Server) -> Self {
        let line_start = text[..last.span.start].rfind('\n').map_or(0, |n| n + 1);
        let indent = &text[line_start..last.span.start];
        let line_end = text[last.span.end..].find('\n').map_or(text.len(), |n| last.span.end + n);
        let (line_end, eol) = match text[..line_end].strip_suffix('\r') {
            Some(_) if line_end > last.span.end => (line_end - 1, "\r\n"),
            _ => (line_end, "\n"),
        };
        let rest = text[last.span.end..line_end].trim();
        if indent.trim().is_empty() && (rest.is_empty() || rest.starts_with('#')) {
            return Self { at: line_end, before: format!("{eol}{indent}") };
        }
        Self { at: last.span.end, before: " ".into() }
    }
}

/// The server that new ones are copied from, and which of its spellings it uses.
fn template<'a>(block: &'a Block, originals: &[Spellings]) -> Option<(&'a Server, usize)> {
    let mut plain = block.servers.iter().rev().filter(|s| !s.parameters.iter().any(|p| p == "down" || p == "backup"));
    let spelling = |s: &Server| originals.iter().find_map(|o| o.iter().position(|w| same(w, &s.address)));
    plain.find_map(|s| spelling(s).map(|at| (s, at)))
}

fn found(text: &str, originals: &[Spellings]) -> Result<Vec<Block>, EditError> {
    let (blocks, includes) = parse(text)?;
    let (whole, rest): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|b| originals.iter().all(|o| b.lists(o)));
    if !whole.is_empty() {
        return Ok(whole);
    }
    if let Some(part) = rest.iter().find(|b| originals.iter().any(|o| b.lists(o))) {
        let absent = originals.iter().filter(|o| !part.lists(o)).filter_map(|o| o.first().cloned()).collect::<Vec<_>>();
        return Err(EditError::Unclear {
            line: line_of(text, part.at),
            why: tr!(
                "upstream {name} lists some of the masters, but not {absent}; find out why and add what is missing",
                name = part.name,
                absent = absent.join(", ")
            ),
        });
    }
    let line = includes.first().map_or(1, |at| line_of(text, *at));
    let why = match includes.first() {
        Some(_) => {
            trs!(
                "no upstream of this file lists the masters; it may be in a file that is included here: name that one as `layout.kubernetes.nginx_conf`, or add the masters by hand"
            )
        }
        None => {
            trs!(
                "no upstream lists the masters; look whether this is the proxy's configuration, or fix `layout.kubernetes.nginx_conf`"
            )
        }
    };
    Err(EditError::Unclear { line, why: why.into() })
}

#[derive(Debug)]
struct Block {
    name: String,
    /// Where it begins.
    at: usize,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    /// From `server` to its semicolon.
    span: Range<usize>,
    address: String,
    address_span: Range<usize>,
    parameters: Vec<String>,
}

impl Block {
    fn lists(&self, master: &Spellings) -> bool {
        self.servers.iter().any(|s| master.iter().any(|w| same(w, &s.address)))
    }
}

impl Server {
    fn is_any(&self, masters: &[Spellings]) -> bool {
        masters.iter().flatten().any(|w| same(w, &self.address))
    }
}

fn same(a: &str, b: &str) -> bool {
    match (a.parse::<SocketAddr>(), b.parse::<SocketAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.eq_ignore_ascii_case(b),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String, Range<usize>),
    Semicolon(usize),
    Open(usize),
    Close(usize),
}

/// The upstream blocks, and where `include` stands.
fn parse(text: &str) -> Result<(Vec<Block>, Vec<usize>), EditError> {
    let (mut blocks, mut includes) = (Vec::new(), Vec::new());
    let mut open: Vec<usize> = Vec::new();
    let mut current: Option<(Block, usize)> = None;
    let mut words: Vec<(String, Range<usize>)> = Vec::new();
    for token in tokens(text)? {
        match token {
            Token::Word(word, range) => words.push((word, range)),
            Token::Semicolon(at) => {
                if words.first().is_some_and(|w| w.0 == "include") {
                    includes.push(words[0].1.start);
                }
                if let Some((block, depth)) = &mut current
                    && open.len() == *depth
                    && let [server, address, parameters @ ..] = &words[..]
                    && server.0 == "server"
                {
                    block.servers.push(Server {
                        span: server.1.start..at + 1,
                        address: address.0.clone(),
                        address_span: address.1.clone(),
                        parameters: parameters.iter().map(|p| p.0.clone()).collect(),
                    });
                }
                words.clear();
            }
            Token::Open(at) => {
                open.push(at);
                if let [upstream, name] = &words[..]
                    && upstream.0 == "upstream"
                    && current.is_none()
                {
                    let block = Block { name: name.0.clone(), at: upstream.1.start, servers: Vec::new() };
                    current = Some((block, open.len()));
                }
                words.clear();
            }
            Token::Close(at) => {
                if open.pop().is_none() || !words.is_empty() {
                    let why = trs!("a closing brace stands where none can; mend the file").into();
                    return Err(EditError::Unclear { line: line_of(text, at), why });
                }
                if let Some((block, _)) = current.take_if(|(_, depth)| open.len() < *depth) {
                    blocks.push(block);
                }
            }
        }
    }
    if let Some(at) = open.first() {
        return Err(EditError::Unclear {
            line: line_of(text, *at),
            why: trs!("this brace is never closed; mend the file").into(),
        });
    }
    if let Some((word, range)) = words.first() {
        let why = tr!("`{word}` has no semicolon; mend the file", word = crate::remote::clean::line(word));
        return Err(EditError::Unclear { line: line_of(text, range.start), why });
    }
    Ok((blocks, includes))
}

/// As nginx reads them (`ngx_conf_read_token`): `#` begins a comment only where a word may begin, quotes hold blanks and
/// signs, a backslash takes the next sign as it is, and `${` belongs to its word.
fn tokens(text: &str) -> Result<Vec<Token>, EditError> {
    let mut out = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c.is_whitespace() => {}
            '#' => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            ';' => out.push(Token::Semicolon(at)),
            '{' => out.push(Token::Open(at)),
            '}' => out.push(Token::Close(at)),
            '"' | '\'' => {
                let mut word = String::new();
                let end = loop {
                    match chars.next() {
                        Some((end, q)) if q == c => break end + 1,
                        Some((_, '\\')) => word.extend(chars.next().map(|(_, c)| c)),
                        Some((_, c)) => word.push(c),
                        None => {
                            let why = trs!("this quote is never closed; mend the file").into();
                            return Err(EditError::Unclear { line: line_of(text, at), why });
                        }
                    }
                };
                out.push(Token::Word(word, at..end));
            }
            _ => {
                let mut word = String::from(c);
                if c == '\\' {
                    word.extend(chars.next().map(|(_, c)| c));
                }
                while let Some((_, c)) =
                    chars.next_if(|(_, c)| !(c.is_whitespace() || *c == ';' || *c == '{' && !word.ends_with('$')))
                {
                    word.push(c);
                    if c == '\\' {
                        word.extend(chars.next().map(|(_, c)| c));
                    }
                }
                let end = chars.peek().map_or(text.len(), |(at, _)| *at);
                out.push(Token::Word(word, at..end));
            }
        }
    }
    Ok(out)
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> Spellings {
        vec![format!("10.10.33.{n}:6443"), format!("master{n}:6443")]
    }

    fn three() -> Vec<Spellings> {
        [37, 38, 39].map(node).to_vec()
    }

    fn grown(text: &str) -> Result<String, EditError> {
        with_servers(text, &three(), &[node(40), node(41)])
    }

    const RUNBOOK: &str = "worker_processes auto; # one a core {\nstream {\n    upstream kube_apiserver {\n        least_conn;\n                        server 10.10.33.37:6443;\n                server 10.10.33.38:6443;\n                server 10.10.33.39:6443; # the third\n            }\n    server {\n        listen 0.0.0.0:6443;\n        proxy_pass kube_apiserver;\n    }\n}\n";

    #[test]
    fn the_runbooks_file_gets_two_lines_like_their_neighbour() {
        let out = grown(RUNBOOK).unwrap();
        let third = "                server 10.10.33.39:6443; # the third\n";
        let expected = RUNBOOK.replace(
            third,
            &format!("{third}                server 10.10.33.40:6443;\n                server 10.10.33.41:6443;\n"),
        );
        assert_eq!(out, expected);
        assert_eq!(grown(&out).unwrap(), out, "a second run adds nothing");
        assert_eq!(upstreams(&out, &three()).unwrap()[0].servers.len(), 5);
        assert!(lacking(&out, &three(), &[node(40)]).unwrap().is_empty());
        assert_eq!(lacking(RUNBOOK, &three(), &[node(40)]).unwrap(), ["10.10.33.40:6443"]);
    }

    #[test]
    fn half_a_job_is_finished() {
        let half = RUNBOOK.replace("# the third\n", "# the third\nserver 10.10.33.41:6443;\n");
        assert_eq!(
            grown(&half).unwrap(),
            half.replace("server 10.10.33.41:6443;\n", "server 10.10.33.41:6443;\nserver 10.10.33.40:6443;\n")
        );
    }

    #[test]
    fn odd_but_valid_forms_keep_their_form() {
        let one_line = "stream{upstream a{server 10.10.33.37:6443 max_fails=3;server 10.10.33.38:6443;server 10.10.33.39:6443 max_fails=3; }}";
        assert_eq!(
            grown(one_line).unwrap(),
            "stream{upstream a{server 10.10.33.37:6443 max_fails=3;server 10.10.33.38:6443;server 10.10.33.39:6443 max_fails=3; server 10.10.33.40:6443 max_fails=3; server 10.10.33.41:6443 max_fails=3; }}"
        );
        let windows = "upstream 'a' {\r\n\tserver \"10.10.33.37:6443\";\r\n\tserver 10.10.33.38:6443;\r\n\tserver 10.10.33.39:6443 weight=2; # x\r\n}\r\n";
        assert_eq!(
            grown(windows).unwrap(),
            windows.replace(
                "# x\r\n",
                "# x\r\n\tserver 10.10.33.40:6443 weight=2;\r\n\tserver 10.10.33.41:6443 weight=2;\r\n"
            )
        );
        let split = "upstream a {\n  server\n    10.10.33.37:6443;\n  server 10.10.33.38:6443;\n  server\n    10.10.33.39:6443\n  ;\n}\n";
        assert_eq!(upstreams(&grown(split).unwrap(), &three()).unwrap()[0].servers.len(), 5);
    }

    #[test]
    fn names_stay_names_and_a_spare_is_not_the_model() {
        let text = "upstream a {\n server MASTER37:6443;\n server master38:6443;\n server master39:6443 backup;\n}\n";
        assert_eq!(
            grown(text).unwrap(),
            text.replace("backup;\n", "backup;\n server master40:6443;\n server master41:6443;\n")
        );
    }

    #[test]
    fn only_the_block_of_the_masters_is_touched() {
        let other = format!("upstream other {{\n  server 10.10.33.37:2379;\n}}\n{RUNBOOK}");
        let out = grown(&other).unwrap();
        assert!(out.starts_with("upstream other {\n  server 10.10.33.37:2379;\n}\n"));
        assert_eq!(out.matches("10.10.33.40").count(), 1);
    }

    #[test]
    fn what_is_unclear_is_refused_with_its_line() {
        let line = |text: &str| match grown(text) {
            Err(EditError::Unclear { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line("events {}\nupstream a {\n server 10.10.33.37:6443;\n}\n"), 2);
        assert_eq!(line("events {}\ninclude conf.d/*.conf;\n"), 2);
        assert_eq!(line("events {}\n\nstream {\n"), 3);
        assert_eq!(line("events {}\n}\n"), 2);
        assert_eq!(line("events {}\nuser \"x;\n"), 2);
        assert_eq!(line("events {}\n# upstream a { server 10.10.33.37:6443; }\n"), 1);
        let spare = RUNBOOK.replace(":6443;", ":6443 down;").replace("0.0.0.0:6443 down", "0.0.0.0:6443");
        assert_eq!(line(&spare), 3);
    }
}
