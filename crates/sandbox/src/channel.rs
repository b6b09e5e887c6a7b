//! Lines over a Unix socket to a process that may answer late, never, without end, or drop by
//! drop. Owns the waiting: nothing here blocks beyond a deadline.

use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// Above anything that our scripts send, so that a tool which writes without end cannot fill us.
pub(crate) const LONGEST_LINE: usize = 64 << 20;

/// How often a wait looks at what the kernel sets no limit to.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// One end of a connection.
pub(crate) struct Channel {
    socket: UnixStream,
    unread: Vec<u8>,
}

/// Why there is no line.
#[derive(Debug, PartialEq)]
pub(crate) enum Lost {
    TimedOut,
    /// The other end is gone, or has closed its connection.
    Closed,
    /// More than [`LONGEST_LINE`], or more than a line.
    Flooded,
    /// What the watch found.
    Stopped(String),
}

/// When a wait is over. A timer of the kernel's, so that nobody here reads a clock.
pub(crate) struct Deadline(OwnedFd);

impl Deadline {
    pub(crate) fn after(limit: Duration) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let limit = limit.max(Duration::from_nanos(1)); // zero would be no timer
        let timespec = |duration: Duration| Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        };
        let once = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(limit),
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(Self(timer))
    }
}

impl Channel {
    /// A connection: our end, and what to give away.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let channel = Self {
            socket: ours,
            unread: Vec::new(),
        };
        Ok((channel, theirs.into()))
    }

    /// Says nothing more; the other end sees that we are gone.
    pub(crate) fn close_writing(&self) {
        // Fails only where it is closed already.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Whether the other end has said something that nobody has read.
    pub(crate) fn has_spoken(&mut self) -> bool {
        !self.unread.is_empty() || self.read_some().is_ok_and(|read| read > 0)
    }

    /// Sends a line, and descriptors with its first byte.
    pub(crate) fn send(
        &self,
        line: &str,
        descriptors: &[BorrowedFd<'_>],
        deadline: &Deadline,
    ) -> Result<(), Lost> {
        let line = [line.as_bytes(), b"\n"].concat();
        let mut unsent = line.as_slice();
        let mut descriptors = descriptors;
        while !unsent.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut extra = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                extra.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            let flags = SendFlags::NOSIGNAL;
            match sendmsg(&self.socket, &[IoSlice::new(unsent)], &mut extra, flags) {
                Ok(sent) => {
                    unsent = &unsent[sent..];
                    descriptors = &[];
                }
                Err(Errno::AGAIN) => {
                    if self.wait(PollFlags::OUT, deadline, &mut || None)? {
                        return Err(Lost::TimedOut);
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return Err(Lost::Closed),
            }
        }
        Ok(())
    }

    /// The next line, without its end. While nothing comes, `watch` is asked now and then
    /// whether to wait on; what it says ends the wait.
    pub(crate) fn receive(
        &mut self,
        deadline: &Deadline,
        watch: &mut dyn FnMut() -> Option<String>,
    ) -> Result<Vec<u8>, Lost> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread[searched..].iter().position(|&it| it == b'\n') {
                let rest = self.unread.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.unread.len();
            if searched > LONGEST_LINE {
                return Err(Lost::Flooded);
            }
            let is_over = self.wait(PollFlags::IN, deadline, watch)?;
            match self.read_some() {
                Ok(0) => return Err(Lost::Closed),
                Ok(_) if is_over && !self.unread[searched..].contains(&b'\n') => {
                    return Err(Lost::TimedOut);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if is_over {
                        return Err(Lost::TimedOut);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Lost::Closed),
            }
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let mut piece = [0; 1 << 14];
        let read = self.socket.read(&mut piece)?;
        self.unread.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    /// Waits for the socket or the deadline; whether it was the deadline.
    fn wait(
        &self,
        events: PollFlags,
        deadline: &Deadline,
        watch: &mut dyn FnMut() -> Option<String>,
    ) -> Result<bool, Lost> {
        loop {
            let mut both = [
                PollFd::new(&self.socket, events),
                PollFd::new(&deadline.0, PollFlags::IN),
            ];
            match poll(&mut both, Some(&TICK)) {
                Ok(0) => {
                    if let Some(why) = watch() {
                        return Err(Lost::Stopped(why));
                    }
                }
                Ok(_) => return Ok(!both[1].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(Lost::Stopped(error.to_string())),
            }
        }
    }
}
