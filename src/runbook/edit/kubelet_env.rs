//! kubelet's variables.

/// Variables that a unit hands to kubelet whole, in the order they are looked for.
const VARIABLES: [&str; 4] = ["KUBELET_ARGS", "KUBELET_EXTRA_ARGS", "KUBELET_OPTS", "KUBELET_CONFIG_ARGS"];

/// Adds an argument to the first of kubelet's variables that the text sets on one line. False, and nothing changed, when it
/// sets none.
pub fn append(text: &mut String, argument: &str) -> bool {
    let place = VARIABLES.iter().find_map(|name| {
        let mut start = 0;
        text.split_inclusive('\n').find_map(|line| {
            let begin = start;
            start += line.len();
            let code = line.trim_end();
            let value = code.strip_prefix(name)?.strip_prefix('=')?;
            // A value that goes on has its end elsewhere, and one without quotes can't hold a second word.
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let inside = value.strip_prefix(quote)?.strip_suffix(quote)?;
            Some((begin + code.len() - 1, inside.is_empty()))
        })
    });
    let Some((at, empty)) = place else { return false };
    text.insert_str(at, &if empty { argument.to_owned() } else { format!(" {argument}") });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_goes_into_the_variable_and_nowhere_else() {
        let mut text = "# KUBELET_ARGS=\"x\"\nKUBELET_EXTRA_ARGS=\"\"\nKUBELET_ARGS=\"--v=2\"\n".to_owned();
        assert!(append(&mut text, "--a=b"));
        assert_eq!(text, "# KUBELET_ARGS=\"x\"\nKUBELET_EXTRA_ARGS=\"\"\nKUBELET_ARGS=\"--v=2 --a=b\"\n");
        let mut text = "KUBELET_EXTRA_ARGS=''\n".to_owned();
        assert!(append(&mut text, "--a=b"));
        assert_eq!(text, "KUBELET_EXTRA_ARGS='--a=b'\n");
    }

    #[test]
    fn a_form_that_is_not_understood_is_left_alone() {
        for text in ["KUBELET_ARGS=\"--v=2 \\\n  --x\"\n", "KUBELET_ARGS=--v=2\n", "OTHER=\"\"\n"] {
            let mut out = text.to_owned();
            assert!(!append(&mut out, "--a=b"));
            assert_eq!(out, text);
        }
    }
}
