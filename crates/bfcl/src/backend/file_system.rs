//! GorillaFileSystem: a small file system with a working directory, and the shell's commands.
//!
//! What copying and moving share is kept as the original has it: a copied directory holds the
//! same files and directories as its source, and a moved one leaves its old self behind, in
//! which the way up from its sub-directories ends.

mod commands;
mod load;
mod text;
mod tree;

use python::{Dict, Exception, Value};

use self::tree::{ChildrenId, NodeId, Tree};
use super::DefaultValue::{Bool, Int, None as Nothing, Str};
use super::{Arguments, Backend, Method, method, optional, required};

const METHODS: &[Method] = &[
    method("cat", &[required("file_name")]),
    method("cd", &[required("folder")]),
    method("cp", &[required("source"), required("destination")]),
    method("diff", &[required("file_name1"), required("file_name2")]),
    method("du", &[optional("human_readable", Bool(false))]),
    method(
        "echo",
        &[required("content"), optional("file_name", Nothing)],
    ),
    method(
        "find",
        &[optional("path", Str(".")), optional("name", Nothing)],
    ),
    method("grep", &[required("file_name"), required("pattern")]),
    method("ls", &[optional("a", Bool(false))]),
    method("mkdir", &[required("dir_name")]),
    method("mv", &[required("source"), required("destination")]),
    method("pwd", &[]),
    method("rm", &[required("file_name")]),
    method("rmdir", &[required("dir_name")]),
    method("sort", &[required("file_name")]),
    method("tail", &[required("file_name"), optional("lines", Int(10))]),
    method("touch", &[required("file_name")]),
    method("wc", &[required("file_name"), optional("mode", Str("l"))]),
];

/// GorillaFileSystem.
pub(super) struct FileSystem {
    long_context: bool,
    tree: Tree,
    root: NodeId,
    current: NodeId,
}

impl FileSystem {
    pub(super) const CLASS: &str = "GorillaFileSystem";

    /// The children of the working directory.
    fn here(&self) -> ChildrenId {
        self.tree
            .children_of(self.current)
            .expect("the working directory is a directory")
    }
}

impl Backend for FileSystem {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        let argument = |name| &arguments[name];
        match method {
            "cat" => self.cat(argument("file_name")),
            "cd" => self.cd(argument("folder")),
            "cp" => self.cp(argument("source"), argument("destination")),
            "diff" => self.diff(argument("file_name1"), argument("file_name2")),
            "du" => self.du(argument("human_readable")),
            "echo" => self.echo(argument("content"), argument("file_name")),
            "find" => self.find(argument("path"), argument("name")),
            "grep" => self.grep(argument("file_name"), argument("pattern")),
            "ls" => self.ls(argument("a")),
            "mkdir" => self.mkdir(argument("dir_name")),
            "mv" => self.mv(argument("source"), argument("destination")),
            "pwd" => self.pwd(),
            "rm" => self.rm(argument("file_name")),
            "rmdir" => self.rmdir(argument("dir_name")),
            "sort" => self.sort(argument("file_name")),
            "tail" => self.tail(argument("file_name"), argument("lines")),
            "touch" => self.touch(argument("file_name")),
            "wc" => self.wc(argument("file_name"), argument("mode")),
            _ => unreachable!("`{method}` is no method of `{}`", Self::CLASS),
        }
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("long_context", Value::Bool(self.long_context)),
            ("root", self.tree.state(self.root)),
        ])
    }
}
