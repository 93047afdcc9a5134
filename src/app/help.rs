//! The command line's help in the language chosen: clap has it in English, from the doc comments of [`super::cli`].

use clap::{ArgAction, Command};

use crate::lang::{self, Lang};

/// What the command line says of the language, before clap reads it: its help has to be in that language already.
pub(super) fn asked(args: impl IntoIterator<Item = String>) -> Option<Lang> {
    let mut args = args.into_iter().take_while(|a| a != "--");
    while let Some(arg) = args.next() {
        let code = match arg.strip_prefix("--lang") {
            Some("") => args.next()?,
            Some(rest) => rest.strip_prefix('=')?.to_owned(),
            None => continue,
        };
        return Lang::from_code(&code);
    }
    None
}

/// The command with every help text in the language chosen. What clap itself says of wrong usage stays English.
pub(super) fn in_language(command: Command) -> Command {
    if lang::current() == Lang::English {
        return command;
    }
    let mut command = command;
    // clap adds its own flags and the help command only now.
    command.build();
    translated(command)
}

fn translated(command: Command) -> Command {
    let words = |text: &clap::builder::StyledStr| said(&text.to_string());
    let mut command = command.help_template(trs!("{about-with-newline}\nUsage: {usage}\n\n{all-args}{after-help}"));
    if let Some(about) = command.get_about().map(words) {
        command = command.about(about);
    }
    if let Some(after) = command.get_after_help().map(words) {
        command = command.after_help(after);
    }
    command = command.subcommand_help_heading(trs!("Commands"));
    command = command.mut_args(|arg| {
        let heading = if arg.is_positional() { trs!("Arguments") } else { trs!("Options") };
        let mut help = arg.get_help().map(words).unwrap_or_default();
        let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let choices = if takes { arg.get_possible_values() } else { Vec::new() };
        for choice in choices.iter().filter(|c| !c.is_hide_set()) {
            let about = choice.get_help().map(words).unwrap_or_default();
            help.extend(["\n- ", choice.get_name(), ": ", &about]);
        }
        let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
        if takes && !defaults.is_empty() {
            help.push_str(&tr!("\n[default: {value}]", value = defaults.join(" ")));
        }
        // clap's own flag has a long form of its own, which would stay English.
        let arg = arg.long_help(clap::builder::Resettable::Reset);
        arg.help(help).help_heading(heading).hide_possible_values(true).hide_default_value(true)
    });
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, translated))
}

fn said(text: &str) -> String {
    lang::lookup(text).map_or_else(|| text.to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    fn texts(command: &Command, into: &mut BTreeSet<String>) {
        let own = [command.get_about(), command.get_after_help()];
        into.extend(own.into_iter().flatten().map(ToString::to_string));
        for arg in command.get_arguments() {
            into.extend(arg.get_help().map(ToString::to_string));
            let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
            let choices = if takes { arg.get_possible_values() } else { Vec::new() };
            into.extend(choices.iter().filter_map(|c| c.get_help()).map(ToString::to_string));
        }
        command.get_subcommands().for_each(|c| texts(c, into));
    }

    #[test]
    fn every_text_of_the_help_has_its_chinese_and_none_is_left_over() {
        let mut command = super::super::cli::Cli::command();
        command.build();
        let mut english = BTreeSet::new();
        texts(&command, &mut english);
        let file = lang::CHINESE.iter().find(|(name, _)| *name == "cli").map(|(_, text)| *text).unwrap();
        let chinese: std::collections::BTreeMap<String, String> = serde_yaml::from_str(file).unwrap();
        let missing: Vec<_> = english.iter().filter(|t| !chinese.contains_key(*t)).collect();
        let over: Vec<_> = chinese.keys().filter(|t| !english.contains(*t)).collect();
        assert!(missing.is_empty(), "add to assets/lang/zh/cli.yaml: {missing:#?}");
        assert!(over.is_empty(), "in assets/lang/zh/cli.yaml and in no help any more: {over:#?}");
    }

    #[test]
    fn the_language_is_found_before_clap_reads() {
        let told = |args: &[&str]| asked(args.iter().map(|a| (*a).to_owned()));
        assert_eq!(told(&["banister", "--lang", "zh", "--help"]), Some(Lang::Chinese));
        assert_eq!(told(&["banister", "run", "--lang=en", "x"]), Some(Lang::English));
        assert_eq!(told(&["banister", "run", "--lang"]), None);
        assert_eq!(told(&["banister", "--", "--lang", "zh"]), None);
        assert_eq!(told(&["banister", "--lang", "fr"]), None);
    }
}
