// SPDX-License-Identifier: Apache-2.0
//! The line editor: history over sessions, completion of commands and of paths.

use std::{
    env,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustyline::{
    Context, Editor, ExternalPrinter, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::DefaultHistory, validate::Validator,
};
use tokio::{runtime::Handle, time::timeout};

use super::commands::{COMMANDS, join};
use crate::client::Client;

/// How long a completion may keep the typist waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line of the user's, or why there is none.
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C: the line is thrown away.
    Nothing,
    /// Ctrl-D, or the input has ended.
    End,
}

pub(super) struct LineEditor {
    editor: Editor<Completions, DefaultHistory>,
    history: Option<PathBuf>,
}

/// Prints above the line that is being typed.
pub(super) type Above = Box<dyn ExternalPrinter + Send>;

impl LineEditor {
    pub(super) fn new(client: Arc<Mutex<Client>>) -> Result<LineEditor, ReadlineError> {
        let mut editor = Editor::new()?;
        editor.set_helper(Some(Completions { client, runtime: Handle::current() }));
        let history =
            env::var_os("HOME").map(|home| PathBuf::from(home).join(".menagerie_cli_history"));
        if let Some(file) = &history {
            // The first time there is none.
            let _ = editor.load_history(file);
        }
        Ok(LineEditor { editor, history })
    }

    pub(super) fn above(&mut self) -> Option<Above> {
        self.editor.create_external_printer().ok().map(|printer| Box::new(printer) as Above)
    }

    /// Reads a line. Blocks, and completes on the runtime: not to be called from a task.
    pub(super) fn read(&mut self, prompt: &str) -> Typed {
        match self.editor.readline(prompt) {
            Ok(line) => {
                // A line that cannot be remembered can still be run.
                let _ = self.editor.add_history_entry(line.as_str());
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Nothing,
            Err(_) => Typed::End,
        }
    }

    pub(super) fn save(&mut self) {
        if let Some(file) = &self.history
            && let Err(error) = self.editor.save_history(file)
        {
            eprintln!("cannot save the history to {}: {error}", file.display());
        }
    }
}

struct Completions {
    client: Arc<Mutex<Client>>,
    runtime: Handle,
}

impl Helper for Completions {}
impl Highlighter for Completions {}
impl Validator for Completions {}
impl Hinter for Completions {
    type Hint = String;
}

impl Completer for Completions {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..at];
        let start = typed.rfind(char::is_whitespace).map_or(0, |space| space + 1);
        let word = &typed[start..];
        if start == 0 {
            let names = COMMANDS.iter().map(|(name, _)| (*name).to_owned());
            return Ok((0, names.filter(|name| name.starts_with(word)).collect()));
        }
        if !word.starts_with('/') {
            return Ok((start, Vec::new()));
        }
        Ok((start, self.paths(word)))
    }
}

impl Completions {
    fn paths(&self, word: &str) -> Vec<String> {
        let (parent, begun) = word.rsplit_once('/').expect("it begins with a slash");
        let parent = if parent.is_empty() { "/" } else { parent };
        let client = self.client.lock().expect("nobody panics while holding it").clone();
        let names = self.runtime.block_on(timeout(PATIENCE, client.children(parent)));
        let names = names.ok().and_then(Result::ok).unwrap_or_default();
        names.iter().filter(|name| name.starts_with(begun)).map(|name| join(parent, name)).collect()
    }
}
