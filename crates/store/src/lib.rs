//! Files that outlive a crash: written beside and renamed, appended in whole records, hashed,
//! locked. Knows no run, no model and no episode.
//!
//! Everything that changes a file goes through a [`Disk`], of which there are two: the real one,
//! and one that fails on purpose.

mod digest;
mod disk;
mod faulty;
mod lock;
mod manifest;

pub use digest::{Digester, digest, digest_file};
pub use disk::{Disk, Operation, RealDisk, append, create_folder, replace};
pub use faulty::{Fault, FaultyDisk};
pub use lock::{Lock, LockError};
pub use manifest::{Damage, Entry, Manifest};
