//! What an agent reads of its calls, with small tables of our own.

use std::fs;
use std::sync::Arc;

use bfcl::executor::{Instances, call_string};
use bfcl::tables::Tables;
use episode::ToolCall;
use python::{Dict, json_loads};
use serde_json::{Map, json};

const BACKENDS: &str = r#"{"math_api": {
  "to_meters": {"km": 1000, "cm": 0.01}, "conversion": {"celsius_to_fahrenheit": 1.8}
}}"#;

const LONG_CONTEXT: &str = r#"{
  "FILE_CONTENT_EXTENSION": " and more", "FILES_TAIL_USED": ["kept.txt"],
  "POPULATE_FILE_EXTENSION": ["1.jpg", "2.jpg"]
}"#;

const CONFIG: &str = r#"{"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": {
  "a.txt": {"type": "file", "content": "one\ntwo"},
  "kept.txt": {"type": "file", "content": "x"},
  "docs": {"type": "directory", "contents": {}}
}}}}}"#;

fn open(long_context: bool) -> Instances {
    let folder = tempfile::tempdir().unwrap();
    let write = |name, text| fs::write(folder.path().join(name), text).unwrap();
    write("backend_tables.json", BACKENDS);
    write("long_context_constants.json", LONG_CONTEXT);
    let tables = Arc::new(Tables::load(folder.path()).unwrap());
    let classes = ["GorillaFileSystem".to_owned(), "MathAPI".to_owned()];
    let config = json_loads(CONFIG).unwrap();
    let config: &Dict = config.as_dict().unwrap();
    Instances::open(&classes, config, long_context, &tables).unwrap()
}

/// Executes calls on one conversation; each gives what stands beside it.
fn check(calls: &[(&str, &str)]) {
    let mut instances = open(false);
    for (call, expected) in calls {
        assert_eq!(instances.execute(call), *expected, "`{call}`");
    }
}

#[test]
fn a_result_reads_as_python_prints_it() {
    check(&[
        ("mkdir('é')", "None"),
        (
            "ls()",
            r#"{"current_directory_content": ["a.txt", "kept.txt", "docs", "\u00e9"]}"#,
        ),
        ("add(1, 2)", r#"{"result": 3}"#),
        ("add(1, 2.0)", r#"{"result": 3.0}"#),
        ("logarithm(8, 2, 5)", "{'result': mpf('3.0')}"),
        ("square_root(2, 5)", "{'result': Decimal('1.4142')}"),
        (
            "power(-8, 1/3)",
            "{'result': (1.0000000000000002+1.7320508075688772j)}",
        ),
        ("'as it is'", "as it is"),
        ("[add(1, 1), None]", "[{'result': 2}, None]"),
    ]);
}

#[test]
fn nothing_is_called_but_methods_and_what_is_banned_says_so() {
    check(&[
        (
            "__import__('os').getcwd()",
            "Error during execution: name '__import__' is not defined",
        ),
        (
            "().__class__",
            "Error during execution: 'tuple' object has no attribute '__class__'",
        ),
        (
            "open('x')",
            "Error during execution: name 'open' is not defined",
        ),
        (
            "add.x(1)",
            "Error during execution: name 'add' is not defined",
        ),
        (
            "exit()",
            "Error during execution: Function call exit is not allowed.",
        ),
        (
            "os.remove ('x')",
            "Error during execution: Function call remove is not allowed.",
        ),
        (
            "add(",
            "Error during execution: '(' was never closed (<string>, line 1)",
        ),
        (
            "",
            "Error during execution: invalid syntax (<string>, line 0)",
        ),
        ("len([1, 2])", "2"),
        ("print(1)", "None"),
    ]);
}

#[test]
fn arguments_are_bound_as_python_binds_them() {
    let add = "Error during execution: MathAPI.add()";
    let du = "Error during execution: GorillaFileSystem.du()";
    check(&[
        ("add(b=1, a=2)", r#"{"result": 3}"#),
        (
            "add(1)",
            &format!("{add} missing 1 required positional argument: 'b'"),
        ),
        (
            "add()",
            &format!("{add} missing 2 required positional arguments: 'a' and 'b'"),
        ),
        (
            "add(1, 2, 3)",
            &format!("{add} takes 3 positional arguments but 4 were given"),
        ),
        (
            "add(1, a=2)",
            &format!("{add} got multiple values for argument 'a'"),
        ),
        (
            "add(1, c=2)",
            &format!("{add} got an unexpected keyword argument 'c'"),
        ),
        (
            "add(1, self=2)",
            &format!("{add} got multiple values for argument 'self'"),
        ),
        (
            "du(1, 2)",
            &format!("{du} takes from 1 to 2 positional arguments but 3 were given"),
        ),
    ]);
}

#[test]
fn a_call_after_one_that_fails_still_runs_and_text_arguments_are_left_alone() {
    check(&[
        (
            "cat('nothing')",
            r#"{"error": "cat: 'nothing': No such file or directory"}"#,
        ),
        ("echo('please sort (now)', 'a.txt')", "None"),
        (
            "cat(file_name='a.txt')",
            r#"{"file_content": "please sort (now)"}"#,
        ),
    ]);
}

#[test]
fn json_arguments_keep_their_types() {
    let call = ToolCall {
        name: "add".to_owned(),
        arguments: match json!({"a": 1.0, "b": "it's"}) {
            serde_json::Value::Object(arguments) => arguments,
            _ => Map::new(),
        },
    };
    assert_eq!(call_string(&call), r#"add(a=1.0,b="it's")"#);
    let found = open(false).call(&call);
    assert_eq!(found, r#"{"error": "Both inputs must be numbers"}"#);
}

#[test]
fn copies_share_what_lies_in_them_and_moves_leave_a_self_behind() {
    check(&[
        ("mkdir('docs2')", "None"),
        (
            "cp('a.txt', 'docs')",
            r#"{"result": "'a.txt' copied to 'docs/a.txt'"}"#,
        ),
        (
            "cp('docs', 'copy')",
            r#"{"result": "'docs' copied to 'copy'"}"#,
        ),
        ("cd('copy')", r#"{"current_working_directory": "copy"}"#),
        ("echo('both', 'a.txt')", "None"),
        ("cd('..')", "{}"),
        ("cd('docs')", r#"{"current_working_directory": "docs"}"#),
        ("cat('a.txt')", r#"{"file_content": "both"}"#),
        ("mkdir('sub')", "None"),
        ("cd('..')", "{}"),
        (
            "mv('docs', 'moved')",
            r#"{"result": "'docs' moved to 'moved'"}"#,
        ),
        ("cd('moved')", r#"{"current_working_directory": "moved"}"#),
        ("cd('sub')", r#"{"current_working_directory": "sub"}"#),
        ("cd('..')", "{}"),
        ("pwd()", r#"{"current_working_directory": "/home/docs"}"#),
    ]);
}

#[test]
fn a_directory_that_holds_itself_is_no_end_of_the_episode() {
    let mut instances = open(false);
    instances.execute("cp('docs', 'docs')");
    let endless = "Error during execution: maximum recursion depth exceeded";
    assert_eq!(instances.execute("du()"), endless);
    assert_eq!(instances.execute("find()"), endless);
    let state = |instances: &Instances| instances.backends()[0].state();
    assert_eq!(state(&instances), state(&instances));
}

#[test]
fn nothing_is_no_place_to_search() {
    let nowhere = r#"{"error": "find: '': No such file or directory"}"#;
    assert_eq!(open(false).execute("find(path='')"), nowhere);
}

#[test]
fn a_long_context_fills_files_and_the_directories_at_the_bottom() {
    let mut instances = open(true);
    let found = instances.execute("cat('a.txt')");
    assert_eq!(found, r#"{"file_content": "one\ntwo and more"}"#);
    let found = instances.execute("cat('kept.txt')");
    assert_eq!(found, r#"{"file_content": "x"}"#);
    let found = instances.execute("find()");
    let expected =
        r#"{"matches": ["./a.txt", "./kept.txt", "./docs", "./docs/1.jpg", "./docs/2.jpg"]}"#;
    assert_eq!(found, expected);
}

/// What mpmath 1.3.0 and CPython's decimal print.
#[test]
fn logarithms_and_roots_are_right_to_the_last_digit() {
    for (call, expected) in [
        ("logarithm(10, 2, 15)", "mpf('3.3219280948873626')"),
        ("logarithm(10, 2, 16)", "mpf('3.321928094887362293')"),
        ("logarithm(1.5, 1.0000001, 8)", "mpf('4054651.2773')"),
        ("logarithm(2, 1024, 3)", "mpf('0.0999908')"),
        ("logarithm(10, 2, -1)", "mpf('4.0')"),
        ("logarithm(10**50, 10, 5)", "mpf('50.0')"),
        ("logarithm(0, 10, 5)", "mpf('-inf')"),
        ("logarithm('10', 2, 5)", "mpf('3.3219299')"),
        ("logarithm(-4, 2, 5)", "mpc(real='2.0', imag='4.5323639')"),
        (
            "logarithm(4, -2, 5)",
            "mpc(real='0.092840433', imag='-0.42078686')",
        ),
        (
            "square_root(0.1, 40)",
            "Decimal('0.3162277660168379419769730258850242641672')",
        ),
        ("square_root(123456, 2)", "Decimal('3.5E+2')"),
        ("square_root(1e22, 5)", "Decimal('1.0000E+11')"),
        ("square_root(1e-14, 5)", "Decimal('1.0000E-7')"),
        ("square_root(0.25, 5)", "Decimal('0.5')"),
        ("square_root(-0.0, 5)", "Decimal('-0')"),
    ] {
        let found = open(false).execute(call);
        assert_eq!(found, format!("{{'result': {expected}}}"), "`{call}`");
    }
    check(&[
        ("logarithm(10, 1, 5)", r#"{"error": ""}"#),
        ("logarithm(10, 2, 1001)", r#"{"error": ""}"#),
        (
            "square_root(2, 0)",
            "Error during execution: valid range for prec is [1, MAX_PREC]",
        ),
        ("square_root(2, 10**9)", "Error during execution: "),
        (
            "power(10, 10**9)",
            "Error during execution: Exceeds the limit (4300 digits) for integer string \
                              conversion; use sys.set_int_max_str_digits() to increase the limit",
        ),
    ]);
}
