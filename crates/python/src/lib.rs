//! Python's values as text: literals and call strings read, `repr` and JSON as Python prints them.
//! Runs nothing: a call string is parsed, never evaluated.
