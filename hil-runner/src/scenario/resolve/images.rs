//! The images: files, members of the family, and images with one change.

use super::Context;
use crate::scenario::case::{Change, Device, Image, Source};
use crate::scenario::code::Code;
use crate::scenario::diagnostic::suggest;
use crate::scenario::family::{self, FAMILY};
use crate::scenario::file::{DerivedTable, File, FileTable, ImageTable, Part, Text};
use crate::scenario::node::Node;
use ota_core::image::{AppDescriptor, ChipId, DESCRIPTOR_LEN, DESCRIPTOR_OFFSET, Header};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

/// What ELF files start with.
const ELF_MAGIC: [u8; 4] = *b"\x7FELF";

/// The line with which the firmware of the family reports.
fn family_says(version: &str) -> Option<Text> {
    Some(Text::Plain(format!("boot: fw={version} ")))
}

fn wrong_chip(image: ChipId, device: &Device) -> Option<String> {
    let wanted = device.chip.id();
    (image != wanted).then(|| format!("it is for the {image}, and the device has an {wanted}"))
}

impl Context<'_> {
    pub(super) fn images(
        &mut self,
        file: &File,
        root: &Node,
        device: &Device,
    ) -> BTreeMap<String, Image> {
        let mut images = BTreeMap::new();
        let mut derived = Vec::new();
        for (key, node) in root.get("images").map_or(&[][..], Node::entries) {
            let Some(table) = file.images.get(&key.name) else {
                continue;
            };
            if !is_name(&key.name) {
                let message = format!("an image cannot be called `{}`", key.name);
                *self.sink.add(Code::BadValue, key.span.clone(), message, "not a name") =
                    Some("use letters, digits, dots, hyphens and underscores".into());
            }
            let image = match table {
                ImageTable::Family(table) => self.family(&table.family, node, device),
                ImageTable::File(table) => Some(self.file(table, node, device)),
                ImageTable::Derived(table) => {
                    derived.push((key.name.as_str(), table, node));
                    None
                }
            };
            images.extend(image.map(|image| (key.name.clone(), image)));
        }
        self.derive(derived, &mut images, file, device);
        images
    }

    fn family(&mut self, name: &str, node: &Node, device: &Device) -> Option<Image> {
        let Some(member) = family::member(name) else {
            let message = format!("`{name}` is not in the family of firmware images");
            let names = FAMILY.iter().map(|member| member.name);
            *self.sink.add(Code::UnknownImage, node.span_of("family"), message, "not known") =
                Some(suggest(name, names));
            return None;
        };
        let path = self.sources.family.join(format!("{name}.app.bin"));
        let bytes = length(&path);
        Some(Image {
            source: Source::File { path, made_by: Some("just fw".into()) },
            version: Some(member.version.into()),
            says: family_says(member.version),
            bytes: member.bytes.or(bytes),
            unfit: member.unfit.map(Into::into).or_else(|| wrong_chip(member.chip.id(), device)),
            unconfirmed: member.unconfirmed.map(Into::into),
            resets_itself: member.resets_itself,
        })
    }

    fn file(&mut self, table: &FileTable, node: &Node, device: &Device) -> Image {
        let span = node.span_of("file");
        let path = self.path(&table.file);
        let mut image = Image {
            source: Source::File { path: path.clone(), made_by: table.made_by.clone() },
            version: None,
            says: table.says.clone(),
            bytes: None,
            unfit: None,
            unconfirmed: None,
            resets_itself: table.resets_itself,
        };
        if let Some(says) = &table.says {
            self.check_text(says, node.span_of("says"));
        } else if device.commands.is_some() {
            let message = "nothing says on the console that this image runs";
            *self.sink.add(Code::Unrecognised, node.span.clone(), message, "no `says`") =
                Some("add `says`, a text that this image alone writes when it starts".into());
        }
        if !path.exists() && table.made_by.is_some() {
            return image;
        }
        self.existing_file(&table.file, "an image", span.clone());
        if !path.is_file() {
            return image;
        }
        let start = read_start(&path);
        if start.starts_with(&ELF_MAGIC) {
            return image;
        }
        let Some(header) = start.first_chunk().and_then(Header::parse) else {
            let message =
                format!("`{}` is neither an ELF file nor an application image", table.file);
            *self.sink.add(Code::NoImage, span, message, "not an image") =
                Some("an application image starts with the byte E9".into());
            return image;
        };
        let descriptor = start.get(DESCRIPTOR_OFFSET as usize..).and_then(|it| it.first_chunk());
        let descriptor = descriptor.and_then(AppDescriptor::parse);
        image.version = descriptor.map(|it| it.version.to_string());
        image.bytes = length(&path);
        image.unfit = wrong_chip(header.chip, device);
        image
    }

    /// Resolves images with one change after those that they are made of.
    fn derive(
        &mut self,
        mut derived: Vec<(&str, &DerivedTable, &Node)>,
        images: &mut BTreeMap<String, Image>,
        file: &File,
        device: &Device,
    ) {
        loop {
            let before = derived.len();
            derived.retain(|(name, table, node)| {
                let Some(base) = images.get(&table.of).cloned() else {
                    return true;
                };
                self.used_images.insert(table.of.clone());
                let image = self.change(table, node, &base, device);
                images.extend(image.map(|image| (name.to_string(), image)));
                false
            });
            if derived.len() == before {
                break;
            }
        }
        let circle: BTreeSet<_> = derived.iter().map(|(name, ..)| name.to_string()).collect();
        for (_, table, node) in derived {
            let span = node.span_of("of");
            if circle.contains(&table.of) {
                let message = "this image is made of itself, by way of others";
                *self.sink.add(Code::BadChange, span, message, "goes round in a circle") =
                    Some("one of the images in the circle needs a `file` or `family`".into());
            } else if !file.images.contains_key(&table.of) {
                self.image(&table.of, images, span);
            }
        }
    }

    fn change(
        &mut self,
        table: &DerivedTable,
        node: &Node,
        base: &Image,
        device: &Device,
    ) -> Option<Image> {
        let changes: Vec<_> = [
            table.truncated_at.map(Change::TruncatedAt),
            table.bit_flipped_in.map(|part| match part {
                Part::Header => Change::BitFlippedInHeader,
                Part::Body => Change::BitFlippedInBody,
                Part::Digest => Change::BitFlippedInDigest,
            }),
            table.erased_from.map(Change::ErasedFrom),
            table.for_chip.map(Change::ForChip),
            table.version.clone().map(Change::Version),
        ]
        .into_iter()
        .flatten()
        .collect();
        let [change] = &changes[..] else {
            let message = format!("the image has {} changes, expected one", changes.len());
            *self.sink.add(Code::BadChange, node.span.clone(), message, "this image") = Some(
                "add one of `truncated-at`, `bit-flipped-in`, `erased-from`, `for-chip`, `version`"
                    .into(),
            );
            return None;
        };
        let mut image = Image {
            source: Source::Derived { of: table.of.clone(), change: change.clone() },
            ..base.clone()
        };
        if let (Change::TruncatedAt(at) | Change::ErasedFrom(at), Some(bytes)) =
            (change, base.bytes)
            && *at >= bytes
        {
            let message =
                format!("image `{}` has {bytes} bytes, so this changes nothing", table.of);
            let keys = ["truncated-at", "erased-from"];
            let span = keys.into_iter().find_map(|key| node.get(key)).unwrap_or(node).span.clone();
            *self.sink.add(Code::BadChange, span, message, "beyond its end") =
                Some(format!("choose an offset below {bytes}"));
        }
        let unfit = match change {
            Change::TruncatedAt(at) => {
                image.bytes = Some(*at);
                Some("it is truncated".into())
            }
            Change::ErasedFrom(_) => Some("its end is erased".into()),
            Change::BitFlippedInHeader | Change::BitFlippedInBody | Change::BitFlippedInDigest => {
                Some("one of its bits is wrong".into())
            }
            Change::ForChip(chip) => wrong_chip(chip.id(), device),
            Change::Version(version) => {
                image.version = Some(version.clone());
                if base.says == base.version.as_deref().and_then(family_says) {
                    image.says = family_says(version);
                }
                None
            }
        };
        image.unfit = base.unfit.clone().or(unfit);
        Some(image)
    }
}

/// Whether an image can be called so: the name stands in names of cases and files.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && name.bytes().all(plain)
}

/// Length of a file in bytes, if it is there.
fn length(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().and_then(|it| u32::try_from(it.len()).ok())
}

/// The start of a file, as far as header and description of an image go.
fn read_start(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let most = u64::from(DESCRIPTOR_OFFSET) + DESCRIPTOR_LEN as u64;
    // A file that cannot be read is no image, which is what the caller reports.
    let _ = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    bytes
}
