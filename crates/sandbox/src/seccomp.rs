//! Which system calls a tool may make, as filters that `layers.py` installs. Two hold for the
//! nursery and all that it forks: a list of what may be called, where everything else is not
//! there (`ENOSYS`, as on an older kernel, which C libraries know how to take), and a list of
//! what is refused with a clear word (`EPERM`). The third refuses its children what only the
//! nursery needs; it is short, because each child pays for it.
//! <https://docs.kernel.org/userspace-api/seccomp_filter.html>

use std::collections::BTreeMap;

use libc as c;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Filters, assembled, each instruction as 16 hexadecimal digits.
pub(crate) struct Filters {
    /// The nursery's own; of those that refuse, the kernel heeds the last.
    pub(crate) nursery: [String; 2],
    pub(crate) child: String,
}

/// The filters of this machine's architecture; why there are none on another.
pub(crate) fn filters() -> Result<Filters, String> {
    let absent = SeccompAction::Errno(c::ENOSYS as u32);
    let refused = SeccompAction::Errno(c::EPERM as u32);
    let allowed = allowed().into_iter().map(|call| (call, Vec::new()));
    Ok(Filters {
        nursery: [
            assemble(allowed.collect(), absent, SeccompAction::Allow)?,
            assemble(refused_to_all()?, SeccompAction::Allow, refused.clone())?,
        ],
        child: assemble(refused_to_children()?, SeccompAction::Allow, refused)?,
    })
}

fn assemble(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    mismatch: SeccompAction,
    matched: SeccompAction,
) -> Result<String, String> {
    let failed = |error: seccompiler::BackendError| error.to_string();
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let filter = SeccompFilter::new(rules, mismatch, matched, architecture).map_err(failed)?;
    let program = BpfProgram::try_from(filter).map_err(failed)?;
    let bytes = program.iter().flat_map(|it| {
        let [c0, c1] = it.code.to_ne_bytes();
        let [k0, k1, k2, k3] = it.k.to_ne_bytes();
        [c0, c1, it.jt, it.jf, k0, k1, k2, k3]
    });
    Ok(bytes.map(|byte| format!("{byte:02x}")).collect())
}

/// What Python and its libraries do with memory, time, threads, descriptors and files, and what
/// the nursery needs to fork. Nothing that opens a connection, loads a program, changes who one
/// is, or leaves something in the kernel.
fn allowed() -> Vec<c::c_long> {
    let mut calls = vec![
        // memory
        c::SYS_brk,
        c::SYS_madvise,
        c::SYS_membarrier,
        c::SYS_mincore,
        c::SYS_mmap,
        c::SYS_mprotect,
        c::SYS_mremap,
        c::SYS_msync,
        c::SYS_munmap,
        // time
        c::SYS_clock_getres,
        c::SYS_clock_gettime,
        c::SYS_clock_nanosleep,
        c::SYS_getitimer,
        c::SYS_gettimeofday,
        c::SYS_nanosleep,
        c::SYS_setitimer,
        c::SYS_timer_create,
        c::SYS_timer_delete,
        c::SYS_timer_getoverrun,
        c::SYS_timer_gettime,
        c::SYS_timer_settime,
        c::SYS_timerfd_create,
        c::SYS_timerfd_gettime,
        c::SYS_timerfd_settime,
        c::SYS_times,
        // threads, and the end
        c::SYS_clone,
        c::SYS_exit,
        c::SYS_exit_group,
        c::SYS_futex,
        c::SYS_get_robust_list,
        c::SYS_getcpu,
        c::SYS_gettid,
        c::SYS_rseq,
        c::SYS_sched_getaffinity,
        c::SYS_sched_getparam,
        c::SYS_sched_getscheduler,
        c::SYS_sched_yield,
        c::SYS_set_robust_list,
        c::SYS_set_tid_address,
        // one's own process
        c::SYS_capget,
        c::SYS_getcwd,
        c::SYS_getegid,
        c::SYS_geteuid,
        c::SYS_getgid,
        c::SYS_getgroups,
        c::SYS_getpgid,
        c::SYS_getpid,
        c::SYS_getppid,
        c::SYS_getpriority,
        c::SYS_getrandom,
        c::SYS_getresgid,
        c::SYS_getresuid,
        c::SYS_getrusage,
        c::SYS_getsid,
        c::SYS_getuid,
        c::SYS_prctl,
        c::SYS_prlimit64,
        c::SYS_restart_syscall,
        c::SYS_rt_sigaction,
        c::SYS_rt_sigpending,
        c::SYS_rt_sigprocmask,
        c::SYS_rt_sigreturn,
        c::SYS_rt_sigsuspend,
        c::SYS_rt_sigtimedwait,
        c::SYS_sigaltstack,
        c::SYS_sysinfo,
        c::SYS_umask,
        c::SYS_uname,
        c::SYS_wait4,
        c::SYS_waitid,
        // descriptors
        c::SYS_close,
        c::SYS_close_range,
        c::SYS_copy_file_range,
        c::SYS_dup,
        c::SYS_dup3,
        c::SYS_epoll_create1,
        c::SYS_epoll_ctl,
        c::SYS_epoll_pwait,
        c::SYS_eventfd2,
        c::SYS_fcntl,
        c::SYS_fdatasync,
        c::SYS_flock,
        c::SYS_fsync,
        c::SYS_ioctl,
        c::SYS_lseek,
        c::SYS_pipe2,
        c::SYS_ppoll,
        c::SYS_pread64,
        c::SYS_preadv,
        c::SYS_preadv2,
        c::SYS_pselect6,
        c::SYS_pwrite64,
        c::SYS_pwritev,
        c::SYS_pwritev2,
        c::SYS_read,
        c::SYS_readv,
        c::SYS_sendfile,
        c::SYS_write,
        c::SYS_writev,
        // a pair of connected sockets, as event loops wake themselves with
        c::SYS_getpeername,
        c::SYS_getsockname,
        c::SYS_getsockopt,
        c::SYS_recvfrom,
        c::SYS_sendto,
        c::SYS_setsockopt,
        c::SYS_shutdown,
        c::SYS_socketpair,
        // files; which, is Landlock's affair
        c::SYS_chdir,
        c::SYS_faccessat,
        c::SYS_faccessat2,
        c::SYS_fchdir,
        c::SYS_fstat,
        c::SYS_fstatfs,
        c::SYS_ftruncate,
        c::SYS_getdents64,
        c::SYS_mkdirat,
        c::SYS_newfstatat,
        c::SYS_openat,
        c::SYS_openat2,
        c::SYS_readlinkat,
        c::SYS_renameat,
        c::SYS_renameat2,
        c::SYS_statfs,
        c::SYS_statx,
        c::SYS_symlinkat,
        c::SYS_truncate,
        c::SYS_unlinkat,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        c::SYS_access,
        c::SYS_alarm,
        c::SYS_arch_prctl,
        c::SYS_dup2,
        c::SYS_epoll_create,
        c::SYS_epoll_wait,
        c::SYS_eventfd,
        c::SYS_getdents,
        c::SYS_getpgrp,
        c::SYS_getrlimit,
        c::SYS_lstat,
        c::SYS_mkdir,
        c::SYS_open,
        c::SYS_pause,
        c::SYS_pipe,
        c::SYS_poll,
        c::SYS_readlink,
        c::SYS_rename,
        c::SYS_rmdir,
        c::SYS_select,
        c::SYS_setrlimit,
        c::SYS_stat,
        c::SYS_symlink,
        c::SYS_time,
        c::SYS_unlink,
    ]);
    calls.extend(for_the_nursery());
    calls
}

/// To fork, to end what it forked, and to clear up.
fn for_the_nursery() -> Vec<c::c_long> {
    let mut calls = vec![
        c::SYS_fchmod,
        c::SYS_fchmodat,
        c::SYS_kill,
        c::SYS_landlock_restrict_self,
        c::SYS_recvmsg,
        c::SYS_seccomp,
        c::SYS_setpgid,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.push(c::SYS_chmod);
    calls
}

/// What the nursery needs, and what it forks does not.
fn refused_to_children() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = for_the_nursery()
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect();
    // A thread, never a process. (`clone3`, whose flags no filter can read, is not there at all.)
    let thread = SeccompCmpOp::MaskedEq(c::CLONE_THREAD as u64);
    calls.insert(c::SYS_clone, vec![rule(&[(0, thread, 0)])?]);
    // Names of threads and of memory, and what the layers are.
    let harmless = [
        c::PR_SET_NAME,
        c::PR_GET_NAME,
        c::PR_GET_NO_NEW_PRIVS,
        c::PR_GET_SECCOMP,
        c::PR_GET_DUMPABLE,
        c::PR_CAPBSET_READ,
        c::PR_SET_VMA,
    ];
    let none_of = harmless.map(|option| (0, SeccompCmpOp::Ne, option as u64));
    calls.insert(c::SYS_prctl, vec![rule(&none_of)?]);
    Ok(calls)
}

/// What nobody may, whole or with these arguments.
fn refused_to_all() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = refused_whole()
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect();
    let masked = |mask: c::c_int| SeccompCmpOp::MaskedEq(mask as u64);
    // Its own limits only.
    calls.insert(c::SYS_prlimit64, vec![rule(&[(0, SeccompCmpOp::Ne, 0)])?]);
    // A pair of streams: datagrams could be sent to anybody's socket.
    calls.insert(
        c::SYS_socketpair,
        vec![
            rule(&[(0, SeccompCmpOp::Ne, c::AF_UNIX as u64)])?,
            rule(&[(1, masked(c::SOCK_DGRAM), c::SOCK_DGRAM as u64)])?,
        ],
    );
    // Descriptors that send signals, or type into a terminal.
    let owners = [
        c::F_SETOWN,
        10, /* F_SETSIG */
        15, /* F_SETOWN_EX */
    ];
    let controls = [
        0x5412, // TIOCSTI
        0x541c, // TIOCLINUX
        0x8901, // FIOSETOWN
        0x8902, // SIOCSPGRP
    ];
    let each = |values: &[c::c_int]| -> Result<Vec<SeccompRule>, String> {
        let one = |value: &c::c_int| rule(&[(1, SeccompCmpOp::Eq, *value as u64)]);
        values.iter().map(one).collect()
    };
    calls.insert(c::SYS_fcntl, each(&owners)?);
    calls.insert(c::SYS_ioctl, each(&controls)?);
    Ok(calls)
}

/// All of: this argument compares so with this value.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, String> {
    let conditions = conditions
        .iter()
        .map(|(argument, comparison, value)| {
            let length = SeccompCmpArgLen::Dword;
            SeccompCondition::new(*argument, length, comparison.clone(), *value)
        })
        .collect::<Result<_, _>>();
    conditions
        .and_then(SeccompRule::new)
        .map_err(|error| error.to_string())
}

fn refused_whole() -> Vec<c::c_long> {
    let mut calls = vec![
        // other processes
        c::SYS_execve,
        c::SYS_execveat,
        c::SYS_kcmp,
        c::SYS_pidfd_getfd,
        c::SYS_pidfd_open,
        c::SYS_pidfd_send_signal,
        c::SYS_process_vm_readv,
        c::SYS_process_vm_writev,
        c::SYS_ptrace,
        c::SYS_rt_sigqueueinfo,
        c::SYS_rt_tgsigqueueinfo,
        c::SYS_setsid,
        c::SYS_tgkill,
        c::SYS_tkill,
        // connections
        c::SYS_accept,
        c::SYS_accept4,
        c::SYS_bind,
        c::SYS_connect,
        c::SYS_listen,
        c::SYS_recvmmsg,
        c::SYS_sendmmsg,
        c::SYS_sendmsg,
        c::SYS_socket,
        // what outlives the process, and memory that no limit counts
        c::SYS_memfd_create,
        c::SYS_mq_open,
        c::SYS_msgget,
        c::SYS_semget,
        c::SYS_shmget,
        // files that are not its own: Landlock has no word for these
        c::SYS_fchown,
        c::SYS_fchownat,
        c::SYS_fsetxattr,
        c::SYS_linkat,
        c::SYS_lsetxattr,
        c::SYS_mknodat,
        c::SYS_removexattr,
        c::SYS_setxattr,
        c::SYS_utimensat,
        // the machine
        c::SYS_add_key,
        c::SYS_bpf,
        c::SYS_capset,
        c::SYS_chroot,
        c::SYS_clock_settime,
        c::SYS_delete_module,
        c::SYS_finit_module,
        c::SYS_init_module,
        c::SYS_io_uring_setup,
        c::SYS_kexec_load,
        c::SYS_keyctl,
        c::SYS_mount,
        c::SYS_perf_event_open,
        c::SYS_pivot_root,
        c::SYS_reboot,
        c::SYS_request_key,
        c::SYS_setns,
        c::SYS_setpriority,
        c::SYS_settimeofday,
        c::SYS_setuid,
        c::SYS_swapon,
        c::SYS_syslog,
        c::SYS_umount2,
        c::SYS_unshare,
        c::SYS_userfaultfd,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        c::SYS_chown,
        c::SYS_fork,
        c::SYS_lchown,
        c::SYS_link,
        c::SYS_mknod,
        c::SYS_utime,
        c::SYS_utimes,
        c::SYS_vfork,
    ]);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_fit_what_the_kernel_takes() {
        let filters = filters().unwrap();
        let [allowed, refused] = filters.nursery;
        for filter in [allowed, refused, filters.child] {
            assert_eq!(filter.len() % 16, 0);
            assert!((16..16 * 4096).contains(&filter.len()), "{}", filter.len());
        }
    }

    #[test]
    fn what_may_be_called_and_what_is_refused_are_apart() {
        let refused = refused_whole();
        assert!(refused.iter().all(|call| !allowed().contains(call)));
        for call in [c::SYS_read, c::SYS_write, c::SYS_openat, c::SYS_exit_group] {
            assert!(allowed().contains(&call) && !refused.contains(&call));
        }
        for call in [c::SYS_socket, c::SYS_ptrace, c::SYS_execve, c::SYS_mount] {
            assert!(!allowed().contains(&call) && refused.contains(&call));
        }
    }
}
