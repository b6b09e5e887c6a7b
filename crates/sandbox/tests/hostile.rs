//! What strangers' tools do to harm us: each is stopped, the episode is told, the pool and the
//! sessions of others work on, and nothing is left behind. The tables that it prints say which
//! layer stopped what.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sandbox::{Failure, Pool, PythonConfig, PythonTool, SandboxConfig, Session};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Processes are counted: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// An act, and what must become of it.
struct Act {
    what: &'static str,
    /// The body of `f(target, pid)`: a file outside that holds `secret`, and our own process.
    body: &'static str,
    /// The layer that stops it.
    layer: &'static str,
    /// What the episode is told, one of these.
    told: &'static [&'static str],
}

const fn act(
    what: &'static str,
    body: &'static str,
    layer: &'static str,
    told: &'static [&'static str],
) -> Act {
    Act {
        what,
        body,
        layer,
        told,
    }
}

const DENIED: &[&str] = &["[Errno 13] Permission denied"];
const REFUSED: &[&str] = &["[Errno 1] Operation not permitted"];
const LATE: &[&str] = &["timed out after 2 seconds"];

/// A process of a session and a group of its own, whose parent is gone.
const DAEMON: &str = "if os.fork() == 0:\n    os.setsid()\n    \
    if os.fork() == 0: sleep(600)\n    os._exit(0)\n\
    return 'it is left'";

const ACTS: &[Act] = &[
    // files
    act(
        "read /etc/passwd",
        "return open('/etc/passwd').read()",
        "landlock",
        DENIED,
    ),
    act(
        "read a file of ours",
        "return open(target).read()",
        "landlock",
        DENIED,
    ),
    act(
        "list the root",
        "return os.listdir('/')",
        "landlock",
        DENIED,
    ),
    act(
        "list a folder of ours",
        "return os.listdir(os.path.dirname(target))",
        "landlock",
        DENIED,
    ),
    act(
        "list others' folders",
        "return os.listdir('..')",
        "landlock",
        DENIED,
    ),
    act(
        "read our environment",
        "return open(f'/proc/{pid}/environ').read()",
        "landlock",
        DENIED,
    ),
    act(
        "read a parent's environment",
        "return open(f'/proc/{os.getppid()}/environ').read()",
        "landlock",
        DENIED,
    ),
    act(
        "write into its own memory's file",
        "return open('/proc/self/mem', 'r+b')",
        "landlock",
        DENIED,
    ),
    act(
        "reopen a descriptor through /proc",
        "return os.open('/proc/self/fd/0', os.O_WRONLY)",
        "landlock",
        DENIED,
    ),
    act(
        "look at processes",
        "return os.listdir('/proc')",
        "landlock",
        DENIED,
    ),
    act(
        "write beside a file of ours",
        "open(target + '.new', 'w')",
        "landlock",
        DENIED,
    ),
    act(
        "write into a file of ours",
        "open(target, 'a')",
        "landlock",
        DENIED,
    ),
    act(
        "cut a file of ours",
        "os.truncate(target, 0)",
        "landlock",
        DENIED,
    ),
    act(
        "remove a file of ours",
        "os.remove(target)",
        "landlock",
        DENIED,
    ),
    act(
        "fetch a file of ours by renaming it",
        "os.rename(target, 'mine')",
        "landlock",
        &["[Errno 13]", "[Errno 18]"],
    ),
    act(
        "follow a link of its own making",
        "os.symlink(target, 'link')\nreturn open('link').read()",
        "landlock",
        DENIED,
    ),
    act(
        "write through a folder's link",
        "os.symlink(os.path.dirname(target), 'd')\nopen('d/new', 'w')",
        "landlock",
        DENIED,
    ),
    act(
        "link a file of ours",
        "os.link(target, 'hard')",
        "seccomp",
        REFUSED,
    ),
    act(
        "change a file's mode",
        "os.chmod(target, 0o777)",
        "seccomp",
        REFUSED,
    ),
    act(
        "change the mode of what it has open",
        "os.fchmod(os.open(os.__file__, os.O_RDONLY), 0o777)",
        "seccomp",
        REFUSED,
    ),
    act(
        "change a file's owner",
        "os.chown(target, 1, 1)",
        "seccomp",
        REFUSED,
    ),
    act(
        "change a file's times",
        "os.utime(target, (0, 0))",
        "seccomp",
        REFUSED,
    ),
    act(
        "make a device",
        "os.mknod('disk', 0o60666, os.makedev(254, 0))",
        "seccomp",
        REFUSED,
    ),
    // the network
    act(
        "open an internet socket",
        "socket.socket()",
        "seccomp",
        REFUSED,
    ),
    act(
        "open a Unix socket",
        "socket.socket(socket.AF_UNIX)",
        "seccomp",
        REFUSED,
    ),
    act(
        "send datagrams from a pair",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "seccomp",
        REFUSED,
    ),
    act(
        "fetch a page",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')",
        "seccomp",
        REFUSED,
    ),
    // processes
    act("fork", "return os.fork()", "seccomp", REFUSED),
    act(
        "fork without end",
        "while True: os.fork()",
        "seccomp",
        REFUSED,
    ),
    act("leave a daemon behind", DAEMON, "seccomp", REFUSED),
    act(
        "run a program",
        "import subprocess\nreturn subprocess.run(['/bin/true'])",
        "seccomp",
        REFUSED,
    ),
    act(
        "become another program",
        "os.execv('/bin/true', ['true'])",
        "seccomp",
        REFUSED,
    ),
    act(
        "start a process by the library",
        "import multiprocessing as m\nm.get_context('fork').Process(target=print).start()",
        "seccomp",
        REFUSED,
    ),
    act(
        "kill its parent",
        "os.kill(os.getppid(), 9)",
        "seccomp",
        REFUSED,
    ),
    act("kill us", "os.kill(pid, 9)", "seccomp", REFUSED),
    act(
        "stop itself",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "seccomp",
        REFUSED,
    ),
    act("leave its group", "os.setsid()", "seccomp", REFUSED),
    act(
        "have a descriptor send our signals",
        "import fcntl\nfcntl.fcntl(0, fcntl.F_SETOWN, pid)",
        "seccomp",
        REFUSED,
    ),
    act(
        "lower our limits",
        "resource.prlimit(pid, resource.RLIMIT_NOFILE, (9, 9))",
        "seccomp",
        REFUSED,
    ),
    act(
        "trace, unshare, mount and more by the C library",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\ngot = []\n\
         for name, arguments in dict(ptrace=(16, pid, 0, 0), unshare=(0x10000000,), setns=(0, 0),\n\
           mount=(b'x', b'/', b'tmpfs', 0, 0), memfd_create=(b'x', 0), chroot=(b'.',), setuid=(0,),\n\
           shmget=(1, 4096, 0o1666), prctl=(1, 0, 0, 0, 0), process_vm_readv=(pid, 0, 0, 0, 0, 0)).items():\n\
           \x20   if getattr(libc, name)(*arguments) != -1: got.append(name)\n\
         raise PermissionError(ctypes.get_errno(), f'got {got}')",
        "seccomp",
        &["[Errno 1] got []"],
    ),
    // too much
    act(
        "allocate without end",
        "kept = []\nwhile True: kept.append(bytearray(1 << 24))",
        "limits",
        &["out of memory"],
    ),
    act(
        "map a terabyte",
        "import mmap\nmmap.mmap(-1, 1 << 40)",
        "limits",
        &["[Errno 12] Cannot allocate memory"],
    ),
    act(
        "raise its limits",
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "limits",
        &["not allowed to raise maximum limit"],
    ),
    act(
        "open files without end",
        "kept = []\nwhile True: kept.append(open(os.devnull))",
        "limits",
        &["[Errno 24] Too many open files"],
    ),
    act(
        "fill one file",
        "with open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
        "limits",
        &["[Errno 27] File too large"],
    ),
    act(
        "fill its folder with files",
        "for i in range(10**9):\n    with open(str(i), 'wb') as f: f.write(bytes(1 << 20))",
        "parent",
        &["its folder held more than 8 MiB", "[Errno 28]"],
    ),
    act(
        "fill its folder with nothing",
        "for i in range(10**9): open(str(i), 'w').close()",
        "parent",
        &[
            "its folder held more than 8 MiB",
            "timed out after 2 seconds",
        ],
    ),
    act(
        "nest folders without end",
        "while True:\n    os.mkdir('d')\n    os.chdir('d')",
        "parent",
        &[
            "its folder was nested deeper than 64",
            "its folder held more than 8 MiB",
        ],
    ),
    act(
        "start threads without end",
        "import threading\nthreading.stack_size(65536)\n\
         while True: threading.Thread(target=sleep, args=(60,), daemon=True).start()",
        "parent",
        &["it had more than 16 threads", "can't start new thread"],
    ),
    act(
        "return a huge result",
        "return 'x' * (1 << 21)",
        "parent",
        &["the result has 2097152 characters, more than 1048576"],
    ),
    act(
        "recurse without end",
        "return f(target, pid)",
        "python",
        &[
            "maximum recursion depth exceeded",
            "name 'f' is not defined",
        ],
    ),
    act(
        "recurse past the interpreter",
        "sys.setrecursionlimit(10**9)\ndef g(): return [g()]\nreturn g()",
        "limits",
        &[
            "killed by signal",
            "out of memory",
            "recursion",
            "error return without exception set", // 3.12's
            "timed out after 2 seconds",
        ],
    ),
    act(
        "nest a result too deeply",
        "x = []\nfor _ in range(10**5): x = [x]\nreturn x",
        "python",
        &["recursion", "killed by signal"],
    ),
    // time
    act("loop without end", "while True: pass", "parent", LATE),
    act("sleep without end", "while True: sleep(1)", "parent", LATE),
    act(
        "catch every exception",
        "while True:\n    try: sleep(1)\n    except BaseException: pass",
        "parent",
        LATE,
    ),
    act(
        "ignore every signal",
        "for s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n\
         while True: sleep(1)",
        "parent",
        LATE,
    ),
    act(
        "compute where no signal is heard",
        "return 3 ** (10 ** 9)",
        "parent",
        &["timed out after 2 seconds", "out of memory"],
    ),
    // its own process
    act("leave", "os._exit(3)", "parent", &["exit status 3"]),
    act("abort", "os.abort()", "parent", &["killed by signal"]),
    act(
        "exit",
        "sys.exit('bye')",
        "python",
        &["the tool tried to exit (bye)", "SystemExit: bye"],
    ),
    act(
        "interrupt",
        "raise KeyboardInterrupt('now')",
        "python",
        &["now"],
    ),
    act(
        "crash",
        "import ctypes\nctypes.string_at(0)",
        "parent",
        &["killed by signal 11"],
    ),
    act(
        "raise what cannot be said",
        "class E(Exception):\n    def __str__(self): raise self\nraise E",
        "python",
        &["E"],
    ),
    // the connection to us
    act(
        "close its connection",
        "os.closerange(3, 256)",
        "parent",
        &["exit status 0"],
    ),
    act(
        "close its connection and stay",
        "os.closerange(3, 256)\nwhile True: sleep(1)",
        "parent",
        &["it closed its connection"],
    ),
    act(
        "say more than we hear",
        "while True: os.write(channel(), bytes(1 << 16))",
        "parent",
        &["it said more than 64 MiB"],
    ),
    act(
        "answer drop by drop",
        "while True:\n    os.write(channel(), b' ')\n    sleep(0.01)",
        "parent",
        LATE,
    ),
    act(
        "answer nonsense",
        "os.write(channel(), b'nonsense\\n')\nsleep(60)",
        "parent",
        &["it said what is no reply"],
    ),
    act(
        "break the answering code",
        "os.write = None",
        "parent",
        &["exit status 0"],
    ),
];

/// What the bodies may use, under both namespaces.
const PRELUDE: &str = "import json, os, resource, signal, socket, stat, sys\n\
    from time import sleep\n\
    def channel():\n    \
        for fd in range(3, 256):\n        \
            try:\n            \
                if stat.S_ISSOCK(os.fstat(fd).st_mode): return fd\n        \
            except OSError: pass\n";

fn source(body: &str) -> String {
    let lines: Vec<String> = [PRELUDE, body]
        .iter()
        .flat_map(|part| part.lines())
        .map(|line| format!("    {line}"))
        .collect();
    format!("def f(target, pid):\n{}\n", lines.join("\n"))
}

fn pool(without: &[&str]) -> Option<Pool> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return None;
    }
    let python = PythonConfig {
        workers: 1,
        call_seconds: 2.0,
        memory_mib: 256,
        ..PythonConfig::default()
    };
    let sandbox = SandboxConfig {
        scratch_mib: 8,
        threads: 16,
        without: without.iter().map(|&it| it.to_owned()).collect(),
        ..SandboxConfig::default()
    };
    Some(Pool::new(python, sandbox).unwrap())
}

/// The world that tools may not touch, and what says that they have not.
struct World {
    pool: Pool,
    bystander: Session,
    calls: u64,
    outside: TempDir,
    target: PathBuf,
}

impl World {
    fn new(pool: Pool) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("target");
        fs::write(&target, "secret").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
        let mut bystander = pool.session().unwrap();
        let source = "calls = 0\ndef f():\n    global calls\n    calls += 1\n    return calls";
        bystander.load(source, "bystander.py").unwrap();
        Self {
            pool,
            bystander,
            calls: 0,
            outside,
            target,
        }
    }

    fn is_active(&self, layer: &str) -> bool {
        let layers = self.pool.layers();
        layers.iter().all(|it| it.name != layer || it.active)
    }

    fn arguments(&self) -> Map<String, Value> {
        let arguments = json!({"target": self.target, "pid": std::process::id()});
        arguments.as_object().unwrap().clone()
    }

    /// What an episode is told of this, once by a process for the call and once by a session.
    fn told(&self, body: &str) -> [String; 2] {
        let source = source(body);
        let tool = PythonTool {
            name: "f",
            source: &source,
        };
        let once = self.pool.call(tool, &self.arguments()).text;
        let mut session = self.pool.session().unwrap();
        session.load(&source, "tools.py").unwrap();
        let kept = session
            .call("f", &self.arguments(), None)
            .unwrap_or_else(|failure| failure.to_string());
        [once, kept]
    }

    /// Nothing was changed, everyone works, nobody and nothing is left.
    fn is_as_before(&mut self, what: &str) {
        let sound = PythonTool {
            name: "g",
            source: "def g():\n    return 'still here'",
        };
        let after = self.pool.call(sound, &Map::new());
        assert_eq!(after.text, "still here", "after: {what}");
        self.calls += 1;
        let kept = self.bystander.call("f", &Map::new(), None);
        assert_eq!(kept, Ok(self.calls.to_string()), "after: {what}");
        assert_eq!(
            fs::read_to_string(&self.target).unwrap(),
            "secret",
            "{what}"
        );
        let found = fs::metadata(&self.target).unwrap();
        assert_eq!(found.mode() & 0o777, 0o640, "{what}");
        assert_ne!(found.mtime(), 0, "{what}");
        assert_eq!(names_in(self.outside.path()), ["target"], "{what}");
        // The interpreter, the bystander, whoever waits for the next call, and nobody else.
        assert_eq!(settled(3).len(), 3, "after: {what}");
        let folders = names_in(self.pool.folder());
        assert_eq!(folders, ["session-0", "worker-0"], "after: {what}");
        let left = names_in(&self.pool.folder().join("worker-0"));
        assert!(left.is_empty(), "after: {what}: {left:?}");
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Our processes, once they have been so many for a while: a call's process is replaced while
/// nobody waits.
fn settled(count: usize) -> Vec<u32> {
    let mut same = 0;
    for _ in 0..500 {
        let found = below(std::process::id()).len();
        same = if found == count { same + 1 } else { 0 };
        if same == 3 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    below(std::process::id())
}

/// Living processes that this one, or one below it, has begun.
fn below(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let is_alive = fields.next()? != "Z";
            is_alive.then_some((pid, fields.next()?.parse().ok()?))
        })
        .collect();
    let mut seen = 0;
    while let Some(&parent) = found.get(seen) {
        seen += 1;
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(pid, _)| *pid));
    }
    found.split_off(1)
}

/// Every act that is not left out, against a pool without these layers.
fn check(without: &[&str], leave_out: impl Fn(&Act) -> bool) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(pool) = pool(without) else { return };
    let mut world = World::new(pool);
    for layer in world.pool.layers() {
        println!(
            "{:<14} {:<8} {}",
            layer.name,
            if layer.active { "active" } else { "missing" },
            layer.what
        );
    }
    println!(
        "{:<50} {:<10} the episode is told",
        "hostile act", "stopped by"
    );
    let mut untold = Vec::new();
    for act in ACTS {
        let is_stopped = world.is_active(act.layer);
        if leave_out(act) || !is_stopped && !without.contains(&act.layer) {
            println!(
                "{:<50} skipped: nothing stops it without `{}`",
                act.what, act.layer
            );
            continue;
        }
        let told = world.told(act.body);
        for told in told.iter().filter(|_| is_stopped) {
            if !act.told.iter().any(|part| told.contains(part)) {
                let told: String = told.chars().take(200).collect();
                untold.push(format!("{}: `{told}`", act.what));
            }
        }
        let shown: String = told[0].chars().take(100).collect();
        let layer = if is_stopped { act.layer } else { "(nothing)" };
        println!("{:<50} {layer:<10} {}", act.what, shown.replace('\n', " "));
        world.is_as_before(act.what);
    }
    assert!(untold.is_empty(), "told otherwise:\n{}", untold.join("\n"));
    let folder = world.pool.folder().to_owned();
    drop(world);
    assert!(!folder.exists());
    assert_eq!(below(std::process::id()), Vec::<u32>::new());
}

#[test]
fn hostile_tools_are_stopped_told_and_gone() {
    check(&[], |_| false);
}

/// Where the kernel has neither, limits and the parent still hold. Acts that nothing would stop
/// are not tried.
#[test]
fn without_landlock_and_seccomp_the_rest_holds() {
    let layers = ["landlock", "seccomp"];
    check(&layers, |act| layers.contains(&act.layer));
}

#[test]
fn a_daemon_that_could_be_left_behind_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(pool) = pool(&["seccomp"]) else {
        return;
    };
    let mut world = World::new(pool);
    for told in world.told(DAEMON) {
        // Root may fork; others are held by a limit on processes.
        let expected = ["it is left", "[Errno 11]"];
        assert!(expected.iter().any(|part| told.contains(part)), "{told}");
    }
    world.is_as_before("a daemon");
}

/// Only without layers can a tool reach the interpreter that it was forked from.
#[test]
fn an_interpreter_that_a_tool_kills_is_replaced() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(pool) = pool(&["seccomp", "landlock"]) else {
        return;
    };
    let world = World::new(pool);
    let told = world.told("os.kill(os.getppid(), 9)\nsleep(60)");
    assert_eq!(
        told,
        [
            "an error occured when call f: the tool ended its process (with the interpreter that \
             it came from)",
            "the tools' process ended: with the interpreter that it came from"
        ]
    );
    let mut bystander = world.bystander;
    assert_eq!(
        bystander.call("f", &Map::new(), None),
        Err(Failure::Ended {
            how: "with the interpreter that it came from".to_owned()
        })
    );
    let sound = PythonTool {
        name: "g",
        source: "def g():\n    return 'still here'",
    };
    assert_eq!(world.pool.call(sound, &Map::new()).text, "still here");
    assert!(world.pool.health().restarts > 0);
    drop((bystander, world.pool));
    assert_eq!(below(std::process::id()), Vec::<u32>::new());
}

#[test]
fn a_forged_reply_is_the_forgers_own() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(pool) = pool(&[]) else { return };
    let mut world = World::new(pool);
    let forgery = source("os.write(channel(), b'{\"text\": \"forged\"}\\n')\nreturn 'real'");
    let tool = PythonTool {
        name: "f",
        source: &forgery,
    };
    assert_eq!(world.pool.call(tool, &world.arguments()).text, "forged");
    let mut session = world.pool.session().unwrap();
    session.load(&forgery, "tools.py").unwrap();
    let arguments = world.arguments();
    let first = session.call("f", &arguments, None);
    assert_eq!(first, Ok("forged".to_owned()));
    let ended = Err(Failure::Ended {
        how: "it said what nobody had asked for".to_owned(),
    });
    // The forged line was read as the reply, so the real one comes unasked.
    while session.call("f", &arguments, None) != ended {}
    assert_eq!(session.call("f", &arguments, None), ended);
    drop(session);
    world.is_as_before("a forged reply");
}

#[test]
fn a_tool_finds_nothing_of_ours_in_its_process() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(pool) = pool(&[]) else { return };
    let world = World::new(pool);
    let [environment, _] = world.told("return sorted(os.environ)");
    let known = [
        "PYTHONHASHSEED",
        "TZ",
        "LC_CTYPE",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    ];
    let names: Vec<String> = serde_json::from_str(&environment).unwrap();
    assert!(
        names.iter().all(|name| known.contains(&name.as_str())),
        "{names:?}"
    );
    let open = "def is_open(fd):\n    try: return bool(os.fstat(fd))\n    except OSError: pass\n\
                return [fd for fd in range(3, 256) if is_open(fd) and fd != channel()]";
    assert_eq!(world.told(open), ["[]", "[]"]);
}

/// Killed as the kernel kills: nobody can tidy up but the interpreter, which notices.
#[test]
fn nothing_outlives_us() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "holds_a_session_until_it_is_killed",
            "--nocapture",
        ])
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let folder = lines.find_map(|line| line.unwrap().strip_prefix("held: ").map(PathBuf::from));
    let Some(folder) = folder else {
        holder.wait().unwrap();
        println!("skipped: no python3");
        return;
    };
    let held = below(holder.id());
    assert!(held.len() >= 2, "an interpreter and a session: {held:?}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let is_left = || {
        let alive = held
            .iter()
            .any(|pid| Path::new(&format!("/proc/{pid}")).exists());
        alive || folder.join("session-0").exists()
    };
    for _ in 0..500 {
        if !is_left() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!is_left());
    fs::remove_dir_all(folder).unwrap();
}

const HOLD: &str = "PACT_TEST_HOLDS_A_SESSION";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "another test starts it as a process"
)]
fn holds_a_session_until_it_is_killed() {
    if std::env::var(HOLD).is_err() {
        return;
    }
    let Some(pool) = pool(&[]) else { return };
    let mut session = pool.session().unwrap();
    let endless = "open('kept', 'w').close()\ndef f():\n    while True: pass";
    session.load(endless, "tools.py").unwrap();
    println!("held: {}", pool.folder().display());
    while session.call("f", &Map::new(), None).is_err() {
        thread::sleep(Duration::from_secs(60));
    }
}
