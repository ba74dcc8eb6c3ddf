//! A selector: commands, keys, channels and databases that go together. A user has one, and may have more.

use std::collections::BTreeSet;

use super::bits::CommandBits;
use super::names::judged_as;
use super::patterns::{Channels, Databases, Keys};
use crate::commands::table::{Command, tables};
use crate::spec::{Acl, CommandId};

/// One set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    allowed: CommandBits,
    /// Every command, also those that there are not yet; nothing was taken away since.
    all_commands: bool,
    /// Whether it began with all commands or with none.
    base: bool,
    /// What was said since, as it is written; later words about the same thing replace earlier ones.
    rules: Vec<CommandRule>,
    /// Commands that are allowed with these first arguments only, in lower case.
    firsts: Vec<(CommandId, Box<[u8]>)>,
    pub(super) keys: Keys,
    pub(super) channels: Channels,
    pub(super) dbs: Databases,
}

/// `+get` or `-@dangerous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandRule {
    pub allow: bool,
    /// In lower case, a category with its `@`.
    pub name: Box<[u8]>,
}

impl Selector {
    /// Nothing but, if wanted, every channel; any database.
    pub fn new(all_channels: bool) -> Selector {
        Selector {
            allowed: CommandBits::all(false),
            all_commands: false,
            base: false,
            rules: Vec::new(),
            firsts: Vec::new(),
            keys: Keys::Some(Vec::new()),
            channels: if all_channels { Channels::All } else { Channels::Some(Vec::new()) },
            dbs: Databases::All,
        }
    }

    /// Whether nothing is forbidden.
    pub fn is_unrestricted(&self) -> bool {
        self.all_commands && self.keys == Keys::All && self.channels == Channels::All && self.dbs == Databases::All
    }

    /// Whether this command may be called; `first`: its first argument, behind the subcommand's name.
    pub(super) fn may_call(&self, command: Command, first: Option<&[u8]>) -> bool {
        let id = judged_as(command.id);
        self.all_commands
            || self.allowed.has(id)
            || first.is_some_and(|first| {
                self.firsts.iter().any(|(known, word)| *known == id && word.eq_ignore_ascii_case(first))
            })
    }

    /// Every command, or none.
    pub(super) fn set_all_commands(&mut self, on: bool) {
        self.allowed = CommandBits::all(on);
        (self.all_commands, self.base) = (on, on);
        self.rules.clear();
        self.firsts.clear();
    }

    /// A command with its subcommands.
    pub(super) fn set_command(&mut self, command: Command, on: bool) {
        self.set_bits(command, on);
        self.note(on, command.spec.name.as_bytes());
    }

    /// A command or subcommand that is not here.
    pub(super) fn set_absent(&mut self, name: &[u8], on: bool) {
        if !on {
            self.all_commands = false;
        }
        self.note(on, name);
    }

    /// A command with this first argument.
    pub(super) fn allow_first(&mut self, command: Command, first: &[u8], name: &[u8]) {
        let first: Box<[u8]> = first.to_ascii_lowercase().into();
        if !self.firsts.iter().any(|(id, known)| *id == command.id && *known == first) {
            self.firsts.push((command.id, first));
            // The same rules in another order are the same rules.
            self.firsts.sort();
        }
        self.note(true, name);
    }

    /// All commands of a category. `name`: with its `@`.
    pub(super) fn set_category(&mut self, category: Acl, name: &[u8], on: bool) {
        for command in tables().resp.iter().filter(|command| command.spec.acl.has(category)) {
            self.set_bits(command, on);
        }
        self.note(on, name);
    }

    /// The rules about commands as they are written: what it began with, then what was said since.
    pub(super) fn rules(&self) -> (bool, &[CommandRule]) {
        (self.base, &self.rules)
    }

    /// Only these databases.
    pub(super) fn set_dbs(&mut self, numbers: BTreeSet<u32>) {
        self.dbs = Databases::Some(numbers);
    }

    fn set_bits(&mut self, command: Command, on: bool) {
        self.allowed.set(command.id, on);
        self.firsts.retain(|(id, _)| *id != command.id);
        for subcommand in tables().resp.subcommands(command.spec) {
            self.allowed.set(subcommand.id, on);
        }
        if !on {
            self.all_commands = false;
        }
    }

    /// Notes what was said. Earlier words about the same name go, and those about its subcommands or first arguments.
    fn note(&mut self, allow: bool, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        let is_about = |rule: &CommandRule| {
            rule.name.strip_prefix(name.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'|')
        };
        self.rules.retain(|rule| !is_about(rule));
        self.rules.push(CommandRule { allow, name: name.into() });
    }
}
