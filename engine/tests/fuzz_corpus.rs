//! The fuzz targets' checks of values on stable: every seed of their corpora, and a bounded run of mutated seeds.
//! SWELL_BLESS=1 makes the seeds of parts anew from those of payloads.

#[path = "../../fuzz/drive.rs"]
mod drive;
#[path = "../../fuzz/random.rs"]
mod random;
#[path = "../../fuzz/rules.rs"]
mod rules;
#[path = "../../fuzz/scripts.rs"]
mod scripts;
#[path = "../../fuzz/values.rs"]
mod values;

use drive::replay_and_mutate;

#[test]
fn rdb_objects() {
    replay_and_mutate("rdb_objects", "values.dict", None, values::rdb_objects);
}

#[test]
fn acl_rules() {
    replay_and_mutate("acl_rules", "acl.dict", None, rules::acl_rules);
}

#[test]
fn script_bindings() {
    replay_and_mutate("script_bindings", "values.dict", None, scripts::script_bindings);
}

#[test]
fn listpacks() {
    replay_and_mutate("listpacks", "values.dict", None, values::listpacks);
}

#[test]
fn stream_nodes() {
    replay_and_mutate("stream_nodes", "values.dict", None, values::stream_nodes);
}

#[test]
fn value_parts() {
    let folder = drive::fuzz_dir().join("corpus/value_parts");
    for (name, object) in drive::corpus("rdb_objects") {
        let Some(seed) = values::parts_of_object(&object) else { continue };
        if std::env::var_os("SWELL_BLESS").is_some() {
            std::fs::create_dir_all(&folder).expect("a folder for seeds");
            std::fs::write(folder.join(&name), &seed).expect("a seed to write");
        }
        values::value_parts(&seed);
    }
    replay_and_mutate("value_parts", "values.dict", None, values::value_parts);
}
