//! Servers that anybody can install, where there is a node and its registry answers.
