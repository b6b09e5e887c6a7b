//! Files and directories. Two directories can share their children, and a child can lie in two
//! directories: copying and moving in the original makes such trees, and agents can see it.

use python::{Dict, Exception, ExceptionKind, Value};

use super::super::dict;

/// A file or directory. It is never freed: an episode is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

/// The children of one directory or of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChildrenId(usize);

#[derive(Clone, Debug)]
pub(super) enum Node {
    File {
        name: Value,
        content: Value,
    },
    Directory {
        name: Value,
        parent: Option<NodeId>,
        children: ChildrenId,
    },
}

/// All that there ever was.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// By name, the place of the node in `nodes`.
    children: Vec<Dict>,
}

/// How many nodes one walk may meet. A directory that was copied into itself holds itself, and
/// then there is no end.
const LONGEST_WALK: usize = 100_000;
/// How deep it may go: about where Python's own stack ends.
const DEEPEST_WALK: usize = 900;
/// How deep the state is told, for the same reason.
const DEEPEST_STATE: usize = 100;

impl Tree {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub(super) fn new_children(&mut self, children: Dict) -> ChildrenId {
        self.children.push(children);
        ChildrenId(self.children.len() - 1)
    }

    pub(super) fn new_node(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// A directory that shares the children of whoever else has them.
    pub(super) fn new_directory(
        &mut self,
        name: Value,
        parent: Option<NodeId>,
        children: ChildrenId,
    ) -> NodeId {
        self.new_node(Node::Directory {
            name,
            parent,
            children,
        })
    }

    pub(super) fn name(&self, id: NodeId) -> &Value {
        match self.node(id) {
            Node::File { name, .. } | Node::Directory { name, .. } => name,
        }
    }

    /// The parent of a directory; files do not know theirs.
    pub(super) fn parent(&self, id: NodeId) -> Option<NodeId> {
        match self.node(id) {
            Node::File { .. } => None,
            Node::Directory { parent, .. } => *parent,
        }
    }

    /// The children of a directory; none of a file.
    pub(super) fn children_of(&self, id: NodeId) -> Option<ChildrenId> {
        match self.node(id) {
            Node::File { .. } => None,
            Node::Directory { children, .. } => Some(*children),
        }
    }

    pub(super) fn children(&self, id: ChildrenId) -> &Dict {
        &self.children[id.0]
    }

    /// A child by name; `TypeError` where the name cannot be hashed.
    pub(super) fn child(&self, id: ChildrenId, name: &Value) -> Result<Option<NodeId>, Exception> {
        let place = self.children(id).get_key(name)?;
        Ok(place.map(Self::id))
    }

    /// Puts a node under a name, last where the name is new.
    pub(super) fn insert(
        &mut self,
        id: ChildrenId,
        name: Value,
        node: NodeId,
    ) -> Result<(), Exception> {
        self.children[id.0].insert_key(name, Value::Int(node.0 as i64))
    }

    pub(super) fn remove(&mut self, id: ChildrenId, name: &Value) -> Result<(), Exception> {
        self.children[id.0].remove_key(name).map(|_| ())
    }

    /// Lets one map hold what another holds now.
    pub(super) fn copy_children(&mut self, from: ChildrenId, to: ChildrenId) {
        self.children[to.0] = self.children[from.0].clone();
    }

    /// Overwrites a file's content; `AttributeError` of a directory.
    pub(super) fn write(&mut self, id: NodeId, text: Value) -> Result<(), Exception> {
        match &mut self.nodes[id.0] {
            Node::File { content, .. } => {
                *content = text;
                Ok(())
            }
            Node::Directory { .. } => Err(Exception::attribute_error(
                &Value::opaque("Directory", ""),
                "_write",
            )),
        }
    }

    fn id(place: &Value) -> NodeId {
        let place = place.as_int().and_then(|place| usize::try_from(place).ok());
        NodeId(place.expect("children are places of nodes"))
    }

    /// Calls `visit` with the path of names below `base` and the node, for everything below a
    /// directory, parents first.
    pub(super) fn walk(
        &self,
        directory: ChildrenId,
        base: &str,
        visit: &mut dyn FnMut(&str, &Value, &Node) -> Result<(), Exception>,
    ) -> Result<(), Exception> {
        let mut left = LONGEST_WALK;
        self.walk_below(directory, base, 0, &mut left, visit)
    }

    fn walk_below(
        &self,
        directory: ChildrenId,
        base: &str,
        depth: usize,
        left: &mut usize,
        visit: &mut dyn FnMut(&str, &Value, &Node) -> Result<(), Exception>,
    ) -> Result<(), Exception> {
        for (name, place) in self.children(directory).iter() {
            *left = left.checked_sub(1).ok_or_else(endless)?;
            let node = self.node(Self::id(place));
            let path = format!("{base}/{name}");
            visit(&path, name, node)?;
            if let Node::Directory { children, .. } = node {
                if depth == DEEPEST_WALK {
                    return Err(endless());
                }
                self.walk_below(*children, &path, depth + 1, left, visit)?;
            }
        }
        Ok(())
    }

    /// The node and all below as the state check compares it.
    pub(super) fn state(&self, id: NodeId) -> Value {
        let mut left = LONGEST_WALK;
        self.state_below(id, 0, &mut left)
    }

    fn state_below(&self, id: NodeId, depth: usize, left: &mut usize) -> Value {
        if depth == DEEPEST_STATE || *left == 0 {
            return Value::ellipsis();
        }
        *left -= 1;
        match self.node(id) {
            Node::File { name, content } => {
                dict([("__file__", name.clone()), ("content", content.clone())])
            }
            Node::Directory { name, children, .. } => {
                let mut below = Dict::new();
                for (child, place) in self.children(*children).iter() {
                    let state = self.state_below(Self::id(place), depth + 1, left);
                    below
                        .insert_key(child.clone(), state)
                        .expect("a child's name is hashable");
                }
                dict([("__dir__", name.clone()), ("contents", Value::Dict(below))])
            }
        }
    }
}

fn endless() -> Exception {
    Exception::new(ExceptionKind::Other, "maximum recursion depth exceeded")
}
