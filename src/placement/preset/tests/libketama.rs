use super::*;

#[test]
fn places_every_key_as_libketama_does() {
    let files = files_of("libketama");
    assert_eq!(files.len(), 4);
    for file in files {
        let rows = nodes_of(&file);
        let nodes = rows
            .iter()
            .map(|row| NodeSpec::weighted(&row[2], row[3].parse().unwrap()))
            .collect();
        let placement = Placement::new(Algorithm::Libketama, nodes).unwrap();
        let words: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        check(&file, &placement, &words);
    }
}

#[test]
fn a_key_ends_before_its_first_nul() {
    let placement = Placement::new(Algorithm::Libketama, specs(["a:1", "b:1"])).unwrap();
    for i in 0..100 {
        let key = format!("user:{i}");
        let node = placement.node(key.as_bytes());
        assert_eq!(placement.node(format!("{key}\0{i}").as_bytes()), node);
        assert_eq!(
            placement.hashed(format!("{key}\0\0").as_bytes()),
            key.as_bytes()
        );
    }
}
