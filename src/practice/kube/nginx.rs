//! nginx.conf as nginx reads it, as far as a proxy of TCP connections goes, and nginx's own words where it does not.

use std::net::SocketAddr;

/// What a configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conf {
    /// Ports that are listened on.
    pub ports: Vec<u16>,
    /// Servers of the upstreams.
    pub servers: Vec<SocketAddr>,
}

/// Directives that nginx knows, with the stream module.
const KNOWN: [&str; 31] = [
    "access_log",
    "daemon",
    "default_type",
    "error_log",
    "events",
    "hash",
    "http",
    "include",
    "keepalive_timeout",
    "least_conn",
    "listen",
    "load_module",
    "location",
    "log_format",
    "master_process",
    "multi_accept",
    "pid",
    "proxy_connect_timeout",
    "proxy_pass",
    "proxy_timeout",
    "random",
    "resolver",
    "server",
    "stream",
    "upstream",
    "use",
    "user",
    "worker_connections",
    "worker_processes",
    "worker_rlimit_nofile",
    "zone",
];

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(char),
}

fn tokens(text: &str) -> Vec<(usize, Token)> {
    let (mut found, mut line, mut word) = (Vec::new(), 1, String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_empty() => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' | '\'' if word.is_empty() => {
                while let Some(inner) = chars.next_if(|i| *i != c) {
                    line += usize::from(inner == '\n');
                    word.push(inner);
                }
                chars.next();
                found.push((line, Token::Word(std::mem::take(&mut word))));
            }
            c if c.is_whitespace() || matches!(c, ';' | '{' | '}') => {
                if !word.is_empty() {
                    found.push((line, Token::Word(std::mem::take(&mut word))));
                }
                if !c.is_whitespace() {
                    found.push((line, Token::Sign(c)));
                }
                line += usize::from(c == '\n');
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        found.push((line, Token::Word(word)));
    }
    found
}

/// Reads a configuration; an error in nginx's words, with `file` as it is called in the container.
pub fn read(text: &str, file: &str) -> Result<Conf, String> {
    let emerg = |why: String, line: usize| Err(format!("nginx: [emerg] {why} in {file}:{line}"));
    let (mut conf, mut open, mut words) = (Conf::default(), Vec::<String>::new(), Vec::<String>::new());
    // Servers before the upstream that is open, and whether the stream module is there.
    let (mut before, mut streams) = (0, false);
    for (line, token) in tokens(text) {
        match token {
            Token::Word(word) => words.push(word),
            Token::Sign(sign) => {
                let Some(name) = words.first().cloned() else {
                    match open.pop().filter(|_| sign == '}') {
                        Some(block) if block == "upstream" && conf.servers.len() == before => {
                            return emerg("no servers are inside upstream".into(), line);
                        }
                        Some(_) => continue,
                        None => {}
                    }
                    return emerg(format!("unexpected \"{sign}\""), line);
                };
                if sign == '}' {
                    return emerg("unexpected \"}\"".into(), line);
                }
                // Its module has to be loaded first.
                let stream = name == "stream" && !streams;
                if !KNOWN.contains(&name.as_str()) || stream {
                    return emerg(format!("unknown directive \"{name}\""), line);
                }
                let value = words.get(1).cloned().unwrap_or_default();
                if name == "least_conn" && words.len() > 1 {
                    return emerg("invalid number of arguments in \"least_conn\" directive".into(), line);
                }
                streams |= name == "load_module" && value.contains("stream");
                words.clear();
                if sign == '{' {
                    if name == "upstream" {
                        before = conf.servers.len();
                    }
                    open.push(name);
                    continue;
                }
                match (name.as_str(), open.last().map(String::as_str)) {
                    ("server", Some("upstream")) => match value.parse() {
                        Ok(server) => conf.servers.push(server),
                        Err(_) => return emerg(format!("host not found in upstream \"{value}\""), line),
                    },
                    ("listen", Some("server")) => {
                        let port = value.rsplit(':').next().unwrap_or_default();
                        match port.parse() {
                            Ok(port) => conf.ports.push(port),
                            Err(_) => {
                                return emerg(format!("invalid port in \"{value}\" of the \"listen\" directive"), line);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    let last = 1 + text.matches('\n').count();
    match (words.is_empty(), open.is_empty()) {
        (true, true) => Ok(conf),
        (false, _) => emerg("unexpected end of file, expecting \";\" or \"}\"".into(), last),
        (true, false) => emerg("unexpected end of file, expecting \"}\"".into(), last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# x\nload_module modules/ngx_stream_module.so;\nstream {\n  upstream u { least_conn; server 10.0.0.1:6443; # one\n server 10.0.0.2:6443; }\n  server { listen 0.0.0.0:6443; proxy_pass u; }\n}\n";

    #[test]
    fn upstreams_and_ports_are_read() {
        let conf = read(GOOD, "/n").unwrap();
        assert_eq!(conf.ports, [6443]);
        assert_eq!(conf.servers, ["10.0.0.1:6443".parse().unwrap(), "10.0.0.2:6443".parse().unwrap()]);
    }

    #[test]
    fn mistakes_are_told_as_nginx_tells_them() {
        let told = |text: &str| read(text, "/etc/nginx/nginx.conf").unwrap_err();
        assert_eq!(
            told(GOOD.trim_end().trim_end_matches('}')),
            "nginx: [emerg] unexpected end of file, expecting \"}\" in /etc/nginx/nginx.conf:7"
        );
        assert!(
            told("load_module m_stream.so; stream { upstream u { server master01:6443; } }")
                .contains("host not found in upstream \"master01:6443\"")
        );
        assert!(told("stream { }").contains("unknown directive \"stream\""), "its module is not loaded");
        assert!(told(&GOOD.replace("server 10", "# ")).contains("no servers are inside upstream in"));
        assert!(told(&GOOD.replace("least_conn;", "least_conn")).contains("invalid number of arguments"));
        assert!(told("strema { }").contains("unknown directive \"strema\""));
        assert!(told("}").contains("unexpected \"}\""));
        assert!(told("user x").contains("expecting \";\" or \"}\""));
    }
}
