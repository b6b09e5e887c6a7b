//! Which files a tool may open: what the interpreter is made of, to read, and its own folder.
//! Landlock, <https://docs.kernel.org/userspace-api/landlock.html>, which needs no privilege and
//! holds for root. Rules are made here and taken on by the forked child (`layers.py`).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, make_bitflags,
};

/// The newest kernel that these rules were tried on; older ones take what they know.
const TESTED: ABI = ABI::V7;

/// What a program needs of every Linux: libraries, time zones, the devices without a state.
const SYSTEM: [&str; 12] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
];

/// What may be read, opened once.
pub(crate) struct Readable {
    paths: Vec<(PathBuf, PathFd, BitFlags<AccessFs>)>,
}

impl Readable {
    /// The system's part and `paths`; those that are not there are left out.
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let mut all: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        all.extend_from_slice(paths);
        all.sort();
        all.dedup_by(|inner, outer| inner.starts_with(outer));
        let paths = all.into_iter().filter_map(|path| {
            let opened = PathFd::new(&path).ok()?;
            let access = if path.is_dir() {
                AccessFs::ReadFile | AccessFs::ReadDir
            } else {
                AccessFs::ReadFile.into()
            };
            Some((path, opened, access))
        });
        Self {
            paths: paths.collect(),
        }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().map(|(path, ..)| path.as_path())
    }

    /// Rules for a process that writes into `folder` alone; what is missing where the kernel
    /// knows none.
    pub(crate) fn rules(&self, folder: &Path) -> Result<OwnedFd, String> {
        let opened = PathFd::new(folder).map_err(|error| error.to_string())?;
        let rules: Option<OwnedFd> = self
            .ruleset(&opened)
            .map_err(|error| error.to_string())?
            .into();
        rules.ok_or_else(|| {
            "the kernel has no Landlock (Linux 5.13 or later, among the modules of \
             /sys/kernel/security/lsm)"
                .to_owned()
        })
    }

    fn ruleset(&self, folder: &PathFd) -> Result<landlock::RulesetCreated, RulesetError> {
        let write = make_bitflags!(AccessFs::{
            ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir
                | MakeSym | Refer
        });
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(TESTED))?
            .handle_access(AccessNet::from_all(TESTED))?
            .scope(Scope::from_all(TESTED))?
            .create()?
            .add_rule(PathBeneath::new(folder, write))?;
        for (_, opened, access) in &self.paths {
            rules = rules.add_rule(PathBeneath::new(opened, *access))?;
        }
        Ok(rules)
    }
}
