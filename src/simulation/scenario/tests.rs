use super::*;
use std::path::Path;

fn refusal(text: &str) -> String {
    let error = Scenario::parse(text, Path::new("s.toml")).unwrap_err();
    format!("{error}\n")
}

/// Every line of the example that is a setting in a comment, with the comment taken off, if `wanted` says so.
fn uncommented(wanted: impl Fn(&str) -> bool) -> String {
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(setting) if wanted(setting) => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

#[test]
fn the_example_says_the_defaults() {
    let read = Scenario::parse(EXAMPLE, Path::new("example.toml")).unwrap();
    let mut made = Scenario::builder()
        .servers_made(5)
        .step(Step::Add(vec![Server::new("f")]));
    for scheme in ["ketama@64", "ketama", "jump", "modulo"] {
        made = made.scheme(scheme.parse().unwrap());
    }
    assert_eq!(format!("{read:?}"), format!("{:?}", made.build().unwrap()));
}

#[test]
fn the_example_with_its_comments_taken_off_is_right_too() {
    // These exclude others, or each other, or name files that are not there.
    let alone = [
        "file =",
        "names =",
        "cluster =",
        "value_bytes = { min",
        "sensitivity =",
    ];
    let is_setting = |setting: &str| {
        let key = setting.split(" = ").next().unwrap_or_default();
        setting.starts_with('[') || (setting.contains(" = ") && !key.contains(' '))
    };
    let text = uncommented(|setting| {
        is_setting(setting) && !alone.iter().any(|one| setting.starts_with(one))
    });
    // What the comments stand beside.
    let text = text
        .replace("popularity = \"uniform\"\n", "")
        .replace("value_bytes = 100\n", "");
    let scenario = Scenario::parse(&text, Path::new("example.toml")).unwrap();
    let stages: Vec<&str> = scenario.stages().collect();
    assert_eq!(
        stages,
        [
            "start",
            "add f",
            "remove b",
            "replace c by z",
            "reweight a to 2",
            "kill d",
            "place by maglev@64"
        ]
    );
    assert_eq!(scenario.title(), "One more server for feeds");
    assert_eq!(
        scenario.keys().to_string(),
        "synthetic, Zipf 0.99, lognormal sizes of median 300 B, sigma 1"
    );
    assert_eq!(scenario.servers()[0].weight, 2);
    assert_eq!(
        scenario.servers()[5],
        Server::new("f").weight(2).memory_bytes_max(32 << 30)
    );
    assert!(scenario.capacity.is_some());
    for line in EXAMPLE.lines().filter(|line| line.starts_with("# names =")) {
        let text = EXAMPLE.replace("count = 5\n", &line[2..]);
        assert_eq!(
            Scenario::parse(&text, Path::new("example.toml"))
                .unwrap()
                .vary,
            Vary::Both
        );
    }
}

#[test]
fn a_wrong_scenario_is_refused_with_its_place_and_what_to_do() {
    let servers = "schemes = [\"ketama@64\"]\n[servers]\ncount = 3\n";
    let mut text = String::new();
    for wrong in [
        "schemes = [\"ketama\"\n",
        "schemes = [\"ketama\"]\n",
        "scheems = [\"ketama\"]\n",
        "schemes = [\"ketma@64\"]\n[servers]\ncount = 3\n",
        "schemes = [\"ketama@0\"]\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\", \"ketama/7\"]\n[servers]\ncount = 3\n",
        "schemes = [\"ring/0\"]\n[servers]\ncount = 3\n",
        "schemes = [\"codis-slots@64\"]\n[servers]\ncount = 3\n",
        "schemes = [\"nydus-round-robin\"]\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\", \"modulo\"]\n[servers]\ncount = 3\n",
        "schemes = []\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nrepeats = 0\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nrepeats = \"many\"\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nvary = \"all\"\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nsensitivity = [0]\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 0\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\nnames = [\"a\"]\n",
        "schemes = [\"modulo\"]\n[servers]\nnames = [\"a\", \"a\"]\n",
        "schemes = [\"modulo\"]\n[servers]\nnames = [\"a b\"]\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\nmemory_max = \"16GB\"\n",
        "schemes = [\"ketama\"]\n[servers]\ncount = 3\nweights = { a = 200 }\n",
        "schemes = [\"ketama\"]\n[servers]\ncount = 3\nweights = { z = 2 }\n",
        "schemes = [\"modulo\"]\n[servers]\ncluster = \"nowhere.toml\"\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\ncount = 0\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\npopularity = { zipf = 5.0 }\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\npopularity = \"zipf\"\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\nvalue_bytes = { min = 3, max = 1 }\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\nvalue_bytes = [1]\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\nfile = \"nowhere.txt\"\n",
        &format!("{servers}[[steps]]\nadd = \"d\"\n[[steps]]\nremove = \"e\"\n"),
        &format!("{servers}[[steps]]\nadd = [\"a\"]\n"),
        &format!("{servers}[[steps]]\nadd = 1.5\n"),
        &format!("{servers}[[steps]]\nadd = \"d\"\nremove = \"a\"\n"),
        &format!("{servers}[[steps]]\n"),
        &format!("{servers}[[steps]]\nreplace = \"a\"\n"),
        &format!("{servers}[[steps]]\nremove = \"a\"\nweight = 2\n"),
        &format!("{servers}[[steps]]\nremove = [\"a\", \"b\", \"c\"]\n"),
        &format!("{servers}[[steps]]\nkill = [\"a\"]\n[[steps]]\nkill = [\"a\"]\n"),
        &format!("{servers}[[steps]]\nplacement = \"jmp@64\"\n"),
        &format!("{servers}[[steps]]\nreweight = {{ a = -1 }}\n"),
        &format!("{servers}memory_max = \"1MiB\"\n[[steps]]\nremove = \"a\"\n"),
        &format!("{servers}[pace]\ncopy_bytes_per_s = 0\n"),
        &format!("{servers}[capacity]\nheadroom = 2.0\n"),
        &format!("{servers}[keys]\ncount = 10000000001\n"),
        "schemes = [\"modulo\", \"jump\"]\nrepeats = 10000\n[servers]\ncount = 1000\n",
    ] {
        text += &refusal(wrong);
    }
    insta::assert_snapshot!(text, @"");
}

#[test]
fn a_scenario_in_code_is_refused_by_the_setting() {
    let refusal = |builder: ScenarioBuilder| format!("{}\n", builder.build().unwrap_err());
    let mut text = refusal(Scenario::builder());
    text += &refusal(Scenario::builder().scheme("modulo".parse().unwrap()));
    let scenario = Scenario::builder()
        .scheme("modulo".parse().unwrap())
        .servers_made(3);
    text += &refusal(scenario.clone().step(Step::Remove(vec!["z".to_owned()])));
    text += &refusal(scenario.clone().servers_made(5_000));
    text += &refusal(scenario.clone().threads(5_000));
    text += &refusal(scenario.clone().requests_per_s(-1.0));
    text += &refusal(
        scenario.keys(Keys::made(10).value_bytes(crate::simulation::ValueBytes::Fixed(1 << 40))),
    );
    insta::assert_snapshot!(text, @"");
}
