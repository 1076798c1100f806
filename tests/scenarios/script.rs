// SPDX-License-Identifier: Apache-2.0
//! A story's text: blocks of commands with what they brought about.

use crate::server::Stage;

const DASHES: &str = "----";

/// Remarks, commands, and the output below the dashes.
#[derive(Default)]
struct Block {
    lines: Vec<String>,
    output: Vec<String>,
}

pub struct Script {
    blocks: Vec<Block>,
}

impl Script {
    pub fn parse(text: &str) -> Script {
        let mut blocks = Vec::new();
        for part in text.split("\n\n").map(|part| part.trim_matches('\n')) {
            if part.is_empty() {
                continue;
            }
            let lines = part.lines().map(str::to_owned).take_while(|line| line != DASHES);
            blocks.push(Block { lines: lines.collect(), output: Vec::new() });
        }
        Script { blocks }
    }

    pub fn first_command(&self) -> Option<&str> {
        self.blocks.iter().flat_map(Block::commands).next()
    }

    pub fn play(&mut self, mut command: impl FnMut(&str) -> Vec<String>) {
        for block in &mut self.blocks {
            block.output = block.commands().flat_map(&mut command).collect();
        }
    }

    /// Takes the commands of a block together.
    pub fn play_blocks(&mut self, mut play: impl FnMut(&[&str]) -> Vec<String>) {
        for block in &mut self.blocks {
            let commands: Vec<&str> = block.commands().collect();
            block.output = play(&commands);
        }
    }

    /// A server's inputs in one block are one turn.
    pub fn play_turns(&mut self, stage: &mut Stage) {
        for block in &mut self.blocks {
            block.commands().for_each(|command| stage.command(command));
            block.output = stage.end_block();
        }
    }

    pub fn text(&self) -> String {
        let blocks: Vec<String> = self.blocks.iter().map(Block::text).collect();
        blocks.join("\n")
    }
}

impl Block {
    fn commands(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str).filter(|line| !line.starts_with('#'))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let dashes = self.commands().next().map(|_| DASHES);
        for line in self.lines.iter().map(String::as_str).chain(dashes) {
            text.push_str(line);
            text.push('\n');
        }
        for line in &self.output {
            assert!(!line.is_empty(), "an empty line would end the block");
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}
