//! TensorBoard's event file of a run under way. It is made of what the run folder holds anyway: no
//! run ends because it cannot be written.

use std::path::Path;

use report::{ReportError, Tensorboard};

use crate::clock;

/// Follows the run, as long as the file can be written.
pub(super) struct Board {
    tensorboard: Option<Tensorboard>,
    /// Tells whoever watches the run.
    say: Box<dyn Fn(&str)>,
}

impl Board {
    /// Of a run that goes on after `step` steps; one that is not wanted writes nothing.
    pub(super) fn begin(
        run: &Path,
        step: u64,
        is_wanted: bool,
        say: impl Fn(&str) + 'static,
    ) -> Self {
        let mut board = Self {
            tensorboard: None,
            say: Box::new(say),
        };
        if is_wanted {
            let folder = run.join("tensorboard");
            match Tensorboard::begin(&folder, run, step, clock::since_1970()) {
                Ok(tensorboard) => board.tensorboard = Some(tensorboard),
                Err(error) => board.give_up(&error),
            }
        }
        board
    }

    /// Writes what is new in the run's folder.
    pub(super) fn follow(&mut self) {
        let now = clock::since_1970();
        let followed = self.tensorboard.as_mut().map(|it| it.follow(now));
        if let Some(Err(error)) = followed {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &ReportError) {
        self.tensorboard = None;
        let warning = format!(
            "{error}: the run goes on without TensorBoard's event file, which `pact export RUN --to \
             tensorboard` can make later"
        );
        tracing::warn!("{warning}");
        (self.say)(&format!("warning: {warning}"));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_run_goes_on_without_the_file_and_says_so_once() {
        let run = tempfile::tempdir().expect("a folder");
        fs::write(run.path().join("tensorboard"), "").expect("a file in the folder's place");
        let said = Rc::new(RefCell::new(Vec::new()));
        let of_board = Rc::clone(&said);
        let say = move |text: &str| of_board.borrow_mut().push(text.to_owned());
        let mut board = Board::begin(run.path(), 0, true, say);
        board.follow();
        let said = said.borrow();
        let [warning] = &said[..] else {
            panic!("{said:?}");
        };
        assert!(warning.starts_with("warning: "), "{warning}");
        assert!(warning.contains("goes on without TensorBoard"), "{warning}");
    }

    #[test]
    fn a_board_that_is_not_wanted_leaves_no_folder() {
        let run = tempfile::tempdir().expect("a folder");
        let mut board = Board::begin(run.path(), 0, false, |text: &str| panic!("{text}"));
        board.follow();
        assert!(!run.path().join("tensorboard").exists());
    }
}
