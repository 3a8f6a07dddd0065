//! `dohle completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  dohle completions bash > ~/.local/share/bash-completion/completions/dohle
  dohle completions zsh > ~/.zfunc/_dohle
  dohle completions fish > ~/.config/fish/completions/dohle.fish";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut script = vec![];
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "dohle", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
    Ok(())
}
