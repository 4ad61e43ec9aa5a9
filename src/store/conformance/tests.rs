/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}"));
    rest.split_once(to).map_or(rest, |(inside, _)| inside)
}

#[test]
fn the_suite_has_every_test_in_its_order() {
    let suite = between(include_str!("mod.rs"), "($harness:expr) => {", "($harness:expr; ");
    for (module, source) in [
        ("throughout", include_str!("throughout.rs")),
        ("insert", include_str!("insert.rs")),
        ("load", include_str!("load.rs")),
        ("replace", include_str!("replace.rs")),
        ("rename", include_str!("rename.rs")),
        ("remove", include_str!("remove.rs")),
        ("owners", include_str!("owners.rs")),
        ("administration", include_str!("administration.rs")),
        ("codes", include_str!("codes.rs")),
        ("abuse", include_str!("abuse.rs")),
        ("attacks", include_str!("attacks.rs")),
    ] {
        let in_suite = between(suite, &format!(" {module} {{"), "}");
        let in_suite: Vec<&str> = in_suite.split_whitespace().collect();
        let written = source.split("pub async fn ").skip(1);
        let written: Vec<&str> = written.map(|text| between(text, "", "<H")).collect();
        assert!(!written.is_empty());
        assert_eq!(in_suite, written, "{module}");
    }
}
