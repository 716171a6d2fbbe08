//! The objects of an asset tree's `manifests`.

use rekindle::start::objects::{parse, read};

use crate::start_places::write;

fn said(bytes: &[u8]) -> Result<Vec<String>, String> {
    let objects = parse("f.yaml", bytes)?;
    Ok(objects.iter().map(|object| format!("{object:?}")).collect())
}

#[test]
fn documents_lists_and_nulls() {
    let text = b"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\ndata: {x: '1'}\n---\n---\nnull\n---\n\
        apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n\
        - {apiVersion: v1, kind: NodeList, items: [{apiVersion: v1, kind: Node, metadata: {name: c}}]}\n";
    assert_eq!(
        said(text).unwrap(),
        [
            "ConfigMap n/a (f.yaml)",
            "Secret b (f.yaml)",
            "Node c (f.yaml)"
        ]
    );
    let json = br#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}"#;
    assert_eq!(said(json).unwrap(), ["Namespace n (f.yaml)"]);
}

#[test]
fn what_is_no_object_is_refused_without_its_content() {
    let table: [(&[u8], &str); 6] = [
        (b"", "holds no object"),
        (b"# nothing\n---\nnull\n", "holds no object"),
        (b"kind: A\nmetadata: {name: secretword}", "no apiVersion"),
        (b"apiVersion: v1\nmetadata: {name: secretword}", "no kind"),
        (b"apiVersion: v1\nkind: A\nmetadata: {}", "no name"),
        (b"a: [secretword", "neither YAML nor JSON"),
    ];
    for (bytes, expected) in table {
        let error = said(bytes).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secretword"), "{error}");
    }
}

#[test]
fn namespaces_then_definitions_then_the_rest_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let object = |kind: &str, name: &str| {
        format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    };
    let files = [
        ("20-b.yaml", object("ConfigMap", "second")),
        ("sub/x.yaml", object("ConfigMap", "third")),
        ("10-a.yaml", object("ConfigMap", "first")),
        ("30-crd.yaml", object("CustomResourceDefinition", "crd")),
        ("90-ns.yaml", object("Namespace", "ns")),
    ];
    for (file, text) in &files {
        write(&dir.path().join(file), text);
    }
    let objects = read(dir.path()).unwrap();
    let order: Vec<String> = objects.iter().map(|object| format!("{object:?}")).collect();
    assert_eq!(
        order,
        [
            "Namespace ns (90-ns.yaml)",
            "CustomResourceDefinition crd (30-crd.yaml)",
            "ConfigMap first (10-a.yaml)",
            "ConfigMap second (20-b.yaml)",
            "ConfigMap third (sub/x.yaml)",
        ]
    );
    write(&dir.path().join("broken.yaml"), "x: [");
    assert!(
        read(dir.path())
            .unwrap_err()
            .to_string()
            .contains("broken.yaml")
    );
}
