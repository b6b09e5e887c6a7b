//! Files that outlive a crash: written beside and renamed, appended in whole records, hashed,
//! locked. Knows no run, no model and no episode.
