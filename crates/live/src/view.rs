//! What whoever watches wants to see.

/// Which page is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The whole run, with an episode below.
    #[default]
    Run,
    /// The episode alone.
    Episode,
    /// The keys.
    Help,
}

/// A watcher's choices; each method is a key's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Which page is shown.
    pub page: Page,
    /// The number of the episode that is shown; `None` for whichever is the newest.
    pub(crate) episode: Option<u64>,
    /// Lines of the episode that are scrolled past.
    pub(crate) scroll: u16,
    /// What the last frame showed, which the keys go on from: the episode's number, and the most
    /// lines that can be scrolled past.
    pub(crate) shown: Shown,
}

/// What was drawn of the episodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) episode: Option<u64>,
    pub(crate) is_newest: bool,
    pub(crate) last_scroll: u16,
}

impl View {
    /// Goes to the episode before the one that is shown.
    pub fn older(&mut self) {
        if let Some(shown) = self.shown.episode {
            (self.episode, self.scroll) = (Some(shown.saturating_sub(1)), 0);
        }
    }

    /// Goes to the episode after the one that is shown; after the last, to whichever is the newest.
    pub fn newer(&mut self) {
        let next = self.shown.episode.filter(|_| !self.shown.is_newest);
        (self.episode, self.scroll) = (next.map(|shown| shown + 1), 0);
    }

    /// Scrolls the episode by so many lines; it is held, so that no newer one takes its place.
    pub fn scroll(&mut self, lines: i32) {
        let scrolled = i32::from(self.scroll).saturating_add(lines);
        let scrolled = scrolled.clamp(0, i32::from(self.shown.last_scroll));
        self.scroll = u16::try_from(scrolled).expect("it is between 0 and a `u16`");
        self.episode = self.episode.or(self.shown.episode);
    }

    /// Shows a page, or if that is shown, the run's.
    pub fn toggle(&mut self, page: Page) {
        self.page = match self.page == page {
            true => Page::Run,
            false => page,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_on_from_what_was_shown() {
        let mut view = View::default();
        view.older();
        view.scroll(3);
        assert_eq!(view, View::default(), "nothing is shown yet");
        view.shown = Shown {
            episode: Some(7),
            is_newest: true,
            last_scroll: 2,
        };
        view.scroll(5);
        assert_eq!((view.episode, view.scroll), (Some(7), 2));
        view.older();
        assert_eq!((view.episode, view.scroll), (Some(6), 0));
        view.newer();
        assert_eq!(view.episode, None, "the newest is whichever is");
        view.shown.is_newest = false;
        view.newer();
        assert_eq!(view.episode, Some(8));
        view.toggle(Page::Episode);
        view.toggle(Page::Help);
        assert_eq!(view.page, Page::Help);
        view.toggle(Page::Help);
        assert_eq!(view.page, Page::Run);
    }
}
