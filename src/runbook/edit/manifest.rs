//! Static pod manifests, JSON or YAML: a component's flags, read and set where they stand.

use std::ops::Range;

use super::{
    EditError,
    structured::{self, Key, Path},
};

pub use super::structured::with_host;

/// Where a flag's value stands: the item, and the part of it that is the value.
struct Place {
    path: Path,
    part: Range<usize>,
    value: String,
}

/// A flag's value (`flag` without dashes), in either form: `--flag=value`, or `--flag` and the value as the next item.
/// A flag that stands alone has the empty value. `None` when no container has it.
///
/// # Errors
/// The text is neither JSON nor YAML, or two places mean the flag.
pub fn flag(text: &str, flag: &str) -> Result<Option<String>, EditError> {
    Ok(find(text, flag)?.map(|p| p.value))
}

/// The same file with another value for a flag. A flag that is not there is added to the one container that has flags.
///
/// # Errors
/// As [`flag`]; the place can't be told apart in the text; or there is no one container to add the flag to.
pub fn set_flag(text: &str, flag: &str, value: &str) -> Result<String, EditError> {
    let what = format!("--{flag}");
    if let Some(place) = find(text, flag)? {
        return structured::replace(text, &place.path, &place.part, value, &what);
    }
    let docs = structured::parse(text)?;
    let items = items(&structured::strings(&docs));
    let flags: Vec<_> = items.iter().filter(|(_, item)| item.starts_with("--")).collect();
    let Some((last, _)) = flags.last() else { return Err(EditError::Missing(flag.to_owned())) };
    // Everything but the number in the list and the word command or args: which container it is.
    let container = |path: &Path| path[..path.len().saturating_sub(2)].to_vec();
    if flags.iter().any(|(path, _)| container(path) != container(last)) {
        return Err(EditError::Missing(flag.to_owned()));
    }
    structured::insert_before(text, last, &format!("{what}={value}"), &what)
}

/// A container's environment variable that is given as a plain value.
///
/// # Errors
/// As [`flag`].
pub fn env(text: &str, name: &str) -> Result<Option<String>, EditError> {
    Ok(find_env(text, name)?.map(|(_, value)| value))
}

/// The same file with another value for an environment variable that is there.
///
/// # Errors
/// As [`set_flag`].
pub fn set_env(text: &str, name: &str, value: &str) -> Result<String, EditError> {
    let (path, old) = find_env(text, name)?.ok_or_else(|| EditError::MissingEntry(name.to_owned()))?;
    structured::replace(text, &path, &(0..old.len()), value, name)
}

/// A text entry of a `ConfigMap`'s `data`, such as `etcd_endpoints`, in a file of one or several documents.
///
/// # Errors
/// As [`flag`].
pub fn config_entry(text: &str, entry: &str) -> Result<Option<String>, EditError> {
    Ok(find_entry(text, entry)?.map(|(_, value)| value))
}

/// The same file with another value for a `ConfigMap`'s entry that is there.
///
/// # Errors
/// As [`set_flag`].
pub fn set_config_entry(text: &str, entry: &str, value: &str) -> Result<String, EditError> {
    let (path, old) = find_entry(text, entry)?.ok_or_else(|| EditError::MissingEntry(entry.to_owned()))?;
    structured::replace(text, &path, &(0..old.len()), value, entry)
}

/// The items of every container's command and arguments.
fn items(strings: &[(Path, String)]) -> Vec<(Path, String)> {
    let is_item = |path: &Path| match path.as_slice() {
        [.., Key::Name(list), Key::Index(_), Key::Name(what), Key::Index(_)] => {
            matches!(list.as_str(), "containers" | "initContainers") && matches!(what.as_str(), "command" | "args")
        }
        _ => false,
    };
    strings.iter().filter(|(path, _)| is_item(path)).cloned().collect()
}

fn find(text: &str, flag: &str) -> Result<Option<Place>, EditError> {
    let docs = structured::parse(text)?;
    let items = items(&structured::strings(&docs));
    let mut found = Vec::new();
    for (number, (path, item)) in items.iter().enumerate() {
        for part in words(item, flag) {
            let alone = part.is_empty() && item.len() == flag.len() + 2;
            let next = items.get(number + 1).filter(|(next, value)| {
                alone && next[..next.len() - 1] == path[..path.len() - 1] && !value.starts_with('-')
            });
            found.push(match next {
                Some((next, value)) => Place { path: next.clone(), part: 0..value.len(), value: value.clone() },
                None => Place { path: path.clone(), value: item[part.clone()].to_owned(), part },
            });
        }
    }
    if found.len() > 1 {
        return Err(twice(text, &format!("--{flag}"), flag));
    }
    Ok(found.pop())
}

/// Where a flag's value stands in an item, which may be a whole shell line.
fn words(item: &str, flag: &str) -> Vec<Range<usize>> {
    let dashed = format!("--{flag}");
    let space = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    let value = |at: usize| {
        let begins = item[..at].chars().next_back().is_none_or(space);
        let rest = &item[at + dashed.len()..];
        let from = at + dashed.len() + usize::from(rest.starts_with('='));
        if !begins || !(rest.is_empty() || rest.starts_with('=') || rest.starts_with(space)) {
            return None;
        }
        if at == 0 {
            // The item is this flag: a value may hold blanks.
            return rest.starts_with('=').then_some(from..item.len()).or_else(|| rest.is_empty().then_some(from..from));
        }
        let to = item[from..].find(space).map_or(item.len(), |n| from + n);
        Some(from..to)
    };
    item.match_indices(&dashed).filter_map(|(at, _)| value(at)).collect()
}

fn find_env(text: &str, name: &str) -> Result<Option<(Path, String)>, EditError> {
    let docs = structured::parse(text)?;
    let strings = structured::strings(&docs);
    let named = strings.iter().filter_map(|(path, value)| match path.as_slice() {
        [head @ .., Key::Name(list), Key::Index(_), Key::Name(key)]
            if list == "env" && key == "name" && value == name && !head.is_empty() =>
        {
            Some(&path[..path.len() - 1])
        }
        _ => None,
    });
    let values = named.filter_map(|entry| {
        let path: Path = entry.iter().cloned().chain([Key::Name("value".into())]).collect();
        let value = structured::at(&docs, &path)?.as_str()?.to_owned();
        Some((path, value))
    });
    one(text, values.collect(), name)
}

fn find_entry(text: &str, entry: &str) -> Result<Option<(Path, String)>, EditError> {
    let docs = structured::parse(text)?;
    let is_map = |number: &usize| docs.get(*number).and_then(|d| d.get("kind")?.as_str()) == Some("ConfigMap");
    let strings = structured::strings(&docs).into_iter();
    let found = strings.filter(|(path, _)| match path.as_slice() {
        [Key::Index(doc), Key::Name(data), Key::Name(key)] => data == "data" && key == entry && is_map(doc),
        _ => false,
    });
    one(text, found.collect(), entry)
}

fn one(text: &str, mut found: Vec<(Path, String)>, name: &str) -> Result<Option<(Path, String)>, EditError> {
    if found.len() > 1 {
        return Err(twice(text, name, name));
    }
    Ok(found.pop())
}

fn twice(text: &str, needle: &str, flag: &str) -> EditError {
    let lines = text.lines().enumerate().filter(|(_, l)| l.contains(needle)).map(|(n, _)| (n + 1).to_string());
    EditError::Twice { flag: flag.to_owned(), lines: lines.collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "{\n  \"kind\": \"Pod\",\n  \"metadata\": { \"annotations\": { \"was\": \"--advertise-address=10.10.33.37\" } },\n  \"spec\": {\n    \"containers\": [\n      {\n        \"command\": [\n          \"kube-apiserver\",\n\t  \"--advertise-address=10.10.33.37\",\n          \"--insecure-port=0\",\n          \"--etcd-servers=https:\\/\\/10.10.33.37:2379,https://10.10.33.38:2379\"\n        ]\n      }\n    ]\n  }\n}\n";

    const YAML: &str = "# --master=https://10.10.33.37:6443 is what it was\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-scheduler\n    command:\n    - kube-scheduler   # the program\n    - --master=https://10.10.33.37:6443 # its apiserver\n    - '--v=2'\n    env:\n    - name: ETCD_SERVERS\n      value: https://10.10.33.37:2379\n";

    #[test]
    fn a_flag_is_replaced_in_place_and_nothing_else() {
        assert_eq!(flag(JSON, "advertise-address").unwrap().unwrap(), "10.10.33.37");
        let out = set_flag(JSON, "advertise-address", "10.10.33.40").unwrap();
        assert_eq!(out, JSON.replace("\t  \"--advertise-address=10.10.33.37", "\t  \"--advertise-address=10.10.33.40"));
        let out = set_flag(YAML, "master", "https://10.10.33.40:6443").unwrap();
        assert_eq!(out, YAML.replace("- --master=https://10.10.33.37", "- --master=https://10.10.33.40"));
        assert_eq!(set_flag(YAML, "v", "4").unwrap(), YAML.replace("--v=2", "--v=4"));
    }

    #[test]
    fn an_escaped_literal_means_what_it_means() {
        let servers = flag(JSON, "etcd-servers").unwrap().unwrap();
        assert_eq!(servers, "https://10.10.33.37:2379,https://10.10.33.38:2379");
        let out = set_flag(JSON, "etcd-servers", "https://10.10.33.40:2379").unwrap();
        assert_eq!(flag(&out, "etcd-servers").unwrap().unwrap(), "https://10.10.33.40:2379");
        assert!(out.contains("\n          \"--etcd-servers=https://10.10.33.40:2379\"\n        ]"), "{out}");
    }

    #[test]
    fn a_flag_that_is_absent_is_added_in_the_lists_own_form() {
        assert_eq!(flag(JSON, "apiserver-count").unwrap(), None);
        let out = set_flag(JSON, "apiserver-count", "5").unwrap();
        assert_eq!(
            out,
            JSON.replace(
                "          \"--etcd-servers",
                "          \"--apiserver-count=5\",\n          \"--etcd-servers"
            )
        );
        assert_eq!(
            set_flag(YAML, "leader-elect", "true").unwrap(),
            YAML.replace("    - '--v=2'\n", "    - '--leader-elect=true'\n    - '--v=2'\n")
        );
        let flow = "spec: {containers: [{command: [\"x\", \"--a=1\"]}]}\n";
        assert_eq!(set_flag(flow, "b", "2").unwrap(), flow.replace("\"--a=1\"", "\"--b=2\", \"--a=1\""));
    }

    #[test]
    fn the_value_may_be_an_item_of_its_own_or_part_of_a_shell_line() {
        let apart = "spec:\n  containers:\n  - args: [--master, 10.0.0.1, --v, 10.0.0.1]\n";
        assert_eq!(flag(apart, "master").unwrap().unwrap(), "10.0.0.1");
        assert_eq!(
            set_flag(apart, "master", "10.0.0.2").unwrap(),
            apart.replace("--master, 10.0.0.1", "--master, 10.0.0.2")
        );
        let shell = "spec:\n  containers:\n  - command:\n    - sh\n    - -c\n    - |\n      exec kube-apiserver --master=10.0.0.1 \\\n        --masters=10.0.0.1 >>log 2>&1\n";
        assert_eq!(
            set_flag(shell, "master", "10.0.0.2").unwrap(),
            shell.replace("--master=10.0.0.1", "--master=10.0.0.2")
        );
    }

    #[test]
    fn two_meanings_or_none_are_told() {
        let double = YAML.replace("    - '--v=2'\n", "    - --master=b\n");
        assert!(matches!(flag(&double, "master"), Err(EditError::Twice { .. })));
        assert!(matches!(set_flag("kind: Pod\n", "a", "b"), Err(EditError::Missing(_))));
        assert!(matches!(flag("just words", "a"), Err(EditError::Unreadable(_))));
        assert!(matches!(flag("{\"a\": 1,\n", "a"), Err(EditError::Unreadable(_))));
        let sidecar = "spec:\n  containers:\n  - args: [--a=1]\n  - args: [--b=1]\n";
        assert!(matches!(set_flag(sidecar, "c", "1"), Err(EditError::Missing(_))), "whose flag would it be?");
    }

    #[test]
    fn an_anchor_that_would_change_two_places_is_refused() {
        let text = "spec:\n  containers:\n  - args: [&m --master=a]\n  annotations: [*m]\n";
        assert!(matches!(set_flag(text, "master", "b"), Err(EditError::Elusive(_))));
    }

    #[test]
    fn environment_and_config_map_entries() {
        assert_eq!(env(YAML, "ETCD_SERVERS").unwrap().unwrap(), "https://10.10.33.37:2379");
        let out = set_env(YAML, "ETCD_SERVERS", "https://10.10.33.40:2379").unwrap();
        assert_eq!(out, YAML.replace("value: https://10.10.33.37", "value: https://10.10.33.40"));
        let calico = "# Calico\nkind: ConfigMap\ndata:\n  # all\n  etcd_endpoints: \"https://a:2379\"\n---\nkind: Secret\ndata:\n  etcd_endpoints: x\n";
        let out = set_config_entry(calico, "etcd_endpoints", "https://a:2379,https://b:2379").unwrap();
        assert_eq!(out, calico.replace("\"https://a:2379\"", "\"https://a:2379,https://b:2379\""));
        assert!(matches!(set_config_entry(calico, "none", "x"), Err(EditError::MissingEntry(_))));
    }

    #[test]
    fn a_host_is_replaced_in_every_form_an_address_has() {
        let (a, b) = ("10.10.33.37".parse().unwrap(), "10.10.33.40".parse().unwrap());
        for (value, want) in [
            ("10.10.33.37", "10.10.33.40"),
            ("https://10.10.33.37:6443", "https://10.10.33.40:6443"),
            ("10.10.33.37:6443/x", "10.10.33.40:6443/x"),
            (
                "https://10.10.33.37:2379, https://10.10.33.38:2379",
                "https://10.10.33.40:2379, https://10.10.33.38:2379",
            ),
            ("10.10.33.370", "10.10.33.370"),
            ("110.10.33.37", "110.10.33.37"),
        ] {
            assert_eq!(with_host(value, a, b), want);
        }
        let (a, b) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        assert_eq!(with_host("https://[fd00::1]:6443", a, b), "https://[fd00::2]:6443");
        assert_eq!(with_host("fd00::1", a, b), "fd00::2");
        assert_eq!(with_host("fd00::11", a, b), "fd00::11");
    }
}
