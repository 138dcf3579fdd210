//! Writes console input of a whole update into a folder: what the fuzz target `console` starts from.

#[path = "../tests/common/mod.rs"]
mod common;

use ciborium::Value;
use common::{CUTPOINT, IMAGE, OS, READ, WRITE, framed, packet, text};
use sim::synthetic::ImageBuilder;
use std::path::PathBuf;

/// Bytes of the image in one request.
const CHUNK: usize = 1900;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the name of a folder"));
    std::fs::create_dir_all(&folder)?;
    let image = ImageBuilder::new(0x3000).version("2.0.0").build();
    let mut requests = vec![
        (READ, OS, 0, vec![(text("d"), text("echo"))]),
        (READ, OS, 7, vec![(text("format"), text("a"))]),
        (READ, IMAGE, 0, vec![]),
        (READ, CUTPOINT, 1, vec![]),
        (READ, CUTPOINT, 2, vec![]),
        (WRITE, CUTPOINT, 3, vec![(text("on"), Value::Bool(true))]),
    ];
    for (index, data) in image.chunks(CHUNK).enumerate() {
        let mut fields = vec![
            (text("off"), Value::from((index * CHUNK) as u64)),
            (text("data"), Value::Bytes(data.to_vec())),
        ];
        if index == 0 {
            fields.push((text("len"), Value::from(image.len() as u64)));
        }
        requests.push((WRITE, IMAGE, 1, fields));
    }
    let hash = Value::Bytes(image[image.len() - 32..].to_vec());
    requests.push((WRITE, IMAGE, 0, vec![(text("hash"), hash)]));
    requests.push((WRITE, IMAGE, 5, vec![]));
    requests.push((WRITE, OS, 5, vec![]));
    // The first byte of an input says in which pieces it arrives.
    let mut all = vec![u8::MAX];
    for (index, (op, group, command, fields)) in requests.into_iter().enumerate() {
        let frame = framed(&packet(1, op, group, 0, command, &Value::Map(fields)));
        all.extend_from_slice(&frame);
        std::fs::write(folder.join(format!("{index:02}")), [&[u8::MAX], &frame[..]].concat())?;
    }
    std::fs::write(folder.join("all"), all)
}
