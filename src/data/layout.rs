//! Which files of a tree are images of which class.
//!
//! The class folders may lie at any depth and in several places (`train/Positive`, `valid/Positive`); all files below one
//! belong to its class. A folder and an archive of it give the same names.

use std::collections::{BTreeMap, BTreeSet};

use super::error::DataError;

/// Endings by which a file outside the class folders counts as an image.
const IMAGE_EXTENSIONS: [&str; 11] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "heic"];

/// What a tree holds. Paths are relative to its root, with `/` between components.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files, without litter.
    pub files: Vec<String>,
    /// Folders, the empty ones too.
    pub folders: BTreeSet<String>,
    /// Files and folders left out as litter.
    pub litter: usize,
    /// Symbolic links left out.
    pub links: usize,
}

/// Where a listing comes from, for messages.
#[derive(Debug, Clone)]
pub struct Place {
    /// "folder" or "archive".
    pub kind: &'static str,
    /// Its path as a user writes it.
    pub path: String,
}

impl Place {
    /// The tree itself or a folder in it, as the beginning of a sentence.
    fn sentence(&self, folder: &str) -> String {
        match folder {
            "" => format!("The {} \"{}\"", self.kind, self.path),
            _ => format!("The folder \"{folder}\" in \"{}\"", self.path),
        }
    }
}

/// The images of a listing.
#[derive(Debug)]
pub struct Layout {
    /// For each image: its class, its name and its index in [`Listing::files`]; sorted by class and name, bytewise.
    pub images: Vec<Image>,
    /// Files that belong to no class.
    pub stray: usize,
}

/// One image of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// Index of the class.
    pub class: usize,
    /// Path from the folder that holds the class folders; from the one that holds all such folders if there are several.
    pub name: String,
    /// Index in [`Listing::files`].
    pub file: usize,
}

/// Whether a file or folder is something that systems leave behind among images: hidden files, `__MACOSX`, `Thumbs.db`.
pub fn is_litter(component: &str) -> bool {
    const NAMES: [&str; 5] = ["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "lost+found"];
    component.starts_with('.') || NAMES.contains(&component.to_lowercase().as_str())
}

/// Finds the class folders and their images.
///
/// # Errors
/// When a class has no folder or lies in the other's, when there is a folder of images beside them, or when a class has
/// fewer than two files.
pub fn find_classes(listing: &Listing, classes: &[String; 2], place: &Place) -> Result<Layout, DataError> {
    let parents = parents(listing, classes, place)?;
    let base = common_folder(parents.keys());
    let mut images = Vec::new();
    let mut stray = Vec::new();
    for (file, path) in listing.files.iter().enumerate() {
        match class_folder(path.rsplit_once('/').map_or("", |(folder, _)| folder), classes) {
            Some((_, class)) => images.push(Image { class, name: below(path, &base).to_owned(), file }),
            None => stray.push(path.as_str()),
        }
    }
    refuse_extra_class(&stray, &parents, classes, place)?;
    images.sort_unstable();
    for (class, name) in classes.iter().enumerate() {
        let found = images.iter().filter(|image| image.class == class).count();
        if found < 2 {
            let hint = links_hint(listing);
            return Err(DataError::TooFew { origin: place.path.clone(), class: name.clone(), found, hint });
        }
    }
    Ok(Layout { images, stray: stray.len() })
}

/// The folders that hold class folders, and which classes each has. Every one must have both.
fn parents(listing: &Listing, classes: &[String; 2], place: &Place) -> Result<BTreeMap<String, [bool; 2]>, DataError> {
    let mut parents: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for folder in &listing.folders {
        let Some((parent, class)) = class_folder(folder, classes) else { continue };
        let inside = below(folder, parent).split('/').skip(1);
        if inside.into_iter().any(|component| component == classes[1 - class]) {
            return Err(DataError::NestedClass {
                path: folder.clone(),
                inner: classes[1 - class].clone(),
                outer: classes[class].clone(),
            });
        }
        parents.entry(parent.to_owned()).or_default()[class] = true;
    }
    if parents.is_empty() {
        return Err(missing(listing, classes, &[0, 1], "", place));
    }
    for (parent, has) in &parents {
        if let Some(class) = has.iter().position(|&has| !has) {
            return Err(missing(listing, classes, &[class], parent, place));
        }
    }
    Ok(parents)
}

/// The first component of a folder's path that is a class: the path before it, and the class.
fn class_folder<'a>(folder: &'a str, classes: &[String; 2]) -> Option<(&'a str, usize)> {
    let mut start = 0;
    for component in folder.split('/') {
        if let Some(class) = classes.iter().position(|class| class == component) {
            return Some((folder[..start].trim_end_matches('/'), class));
        }
        start += component.len() + 1;
    }
    None
}

/// The rest of `path` below `folder`, which it begins with.
fn below<'a>(path: &'a str, folder: &str) -> &'a str {
    match path.strip_prefix(folder) {
        Some(rest) => rest.trim_start_matches('/'),
        None => path,
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn common_folder<'a>(mut folders: impl Iterator<Item = &'a String>) -> String {
    let mut common: Vec<&str> = folders.next().map_or_else(Vec::new, |first| first.split('/').collect());
    for folder in folders {
        let same = common.iter().zip(folder.split('/')).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    common.join("/")
}

/// Refuses a folder beside class folders that holds images: forgetting a class must not go unseen.
fn refuse_extra_class(
    stray: &[&str],
    parents: &BTreeMap<String, [bool; 2]>,
    classes: &[String; 2],
    place: &Place,
) -> Result<(), DataError> {
    let mut extra: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for path in stray.iter().filter(|path| has_image_extension(path)) {
        let around = parents.keys().filter(|parent| is_below(path, parent));
        let Some(parent) = around.max_by_key(|parent| parent.len()) else { continue };
        if let Some((sibling, _)) = below(path, parent).split_once('/') {
            *extra.entry((parent, sibling)).or_default() += 1;
        }
    }
    // A folder around other class folders is a part of the set, not a class.
    extra.retain(|(parent, sibling), _| {
        let folder = if parent.is_empty() { (*sibling).to_owned() } else { format!("{parent}/{sibling}") };
        !parents.keys().any(|other| *other == folder || is_below(other, &folder))
    });
    match extra.first_key_value() {
        None => Ok(()),
        Some(((parent, sibling), &images)) => Err(DataError::ExtraClass {
            place: place.sentence(parent),
            extra: (*sibling).to_owned(),
            images,
            classes: classes.clone(),
        }),
    }
}

/// Whether a name ends as those of image files do.
pub fn has_image_extension(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
    extension.is_some_and(|extension| IMAGE_EXTENSIONS.contains(&extension.as_str()))
}

fn missing(listing: &Listing, classes: &[String; 2], missing: &[usize], parent: &str, place: &Place) -> DataError {
    let children: BTreeSet<&str> = listing
        .folders
        .iter()
        .filter(|folder| is_below(folder, parent))
        .filter_map(|folder| below(folder, parent).split('/').next())
        .collect();
    // The class folders may hide at any depth when none was found.
    let anywhere: BTreeSet<&str> = listing.folders.iter().filter_map(|folder| folder.rsplit('/').next()).collect();
    let candidates = if missing.len() == 2 { &anywhere } else { &children };
    let mut hint = String::new();
    for &class in missing {
        let wanted = &classes[class];
        let others = candidates.iter().filter(|name| !classes.iter().any(|class| class == **name));
        if let Some(similar) = most_similar(wanted, others.copied()) {
            hint += &format!(" Did you mean \"{similar}\" by \"{wanted}\"?");
        }
    }
    if !hint.is_empty() {
        hint += " Rename the folder or set data.classes; upper and lower case differ.";
    }
    if missing.len() == 2
        && classes.iter().any(|class| place.path.trim_end_matches('/').ends_with(&format!("/{class}")))
    {
        hint += " This is the folder of one class: give the folder around it.";
    }
    hint += &links_hint(listing);
    let missing: Vec<String> = missing.iter().map(|&class| format!("\"{}\"", classes[class])).collect();
    DataError::MissingClass {
        place: place.sentence(parent),
        missing: missing.join(" or "),
        found: found(&children, listing.files.len()),
        hint,
    }
}

fn found(folders: &BTreeSet<&str>, files: usize) -> String {
    const SHOWN: usize = 8;
    if folders.is_empty() {
        return format!("It has no folders at all, only {files} files.");
    }
    let shown: Vec<String> = folders.iter().take(SHOWN).map(|name| format!("\"{name}\"")).collect();
    let more = folders.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("It has {}{more}.", shown.join(", "))
}

fn links_hint(listing: &Listing) -> String {
    match listing.links {
        0 => String::new(),
        links => format!(" {links} symbolic links in it were not followed: copy what they point to."),
    }
}

/// The candidate that a person may have meant, if one is close.
pub fn most_similar<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const CLOSE: f64 = 0.8;
    let lower = wanted.to_lowercase();
    let similarity = |candidate: &str| strsim::jaro_winkler(&lower, &candidate.to_lowercase());
    let scored = candidates.map(|candidate| (similarity(candidate), candidate));
    let best = scored.filter(|(score, _)| *score >= CLOSE).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[&str]) -> Listing {
        let mut listing =
            Listing { files: files.iter().map(|file| (*file).to_owned()).collect(), ..Listing::default() };
        for file in files {
            let mut folder = *file;
            while let Some((parent, _)) = folder.rsplit_once('/') {
                listing.folders.insert(parent.to_owned());
                folder = parent;
            }
        }
        listing
    }

    fn names(files: &[&str]) -> Result<Vec<String>, String> {
        let classes = ["Negative".to_owned(), "Positive".to_owned()];
        let place = Place { kind: "folder", path: "/data".to_owned() };
        let layout = find_classes(&listing(files), &classes, &place).map_err(|error| error.to_string())?;
        Ok(layout.images.into_iter().map(|image| format!("{} {}", image.class, image.name)).collect())
    }

    #[test]
    fn names_start_at_the_class_folder_however_deep_it_lies() {
        let flat = names(&["Positive/b.jpg", "Positive/a.jpg", "Negative/z.jpg", "Negative/sub/y.jpg"]).unwrap();
        assert_eq!(flat, ["0 Negative/sub/y.jpg", "0 Negative/z.jpg", "1 Positive/a.jpg", "1 Positive/b.jpg"]);
        let deep = ["a/b:c/Positive/b.jpg", "a/b:c/Positive/a.jpg", "a/b:c/Negative/z.jpg", "a/b:c/Negative/sub/y.jpg"];
        assert_eq!(names(&deep).unwrap(), flat);
    }

    #[test]
    fn names_of_several_sets_keep_what_tells_them_apart() {
        let files = ["x/train/Negative/a", "x/train/Positive/a", "x/valid/Negative/a", "x/valid/Positive/a"];
        let found = names(&files).unwrap();
        assert_eq!(found, ["0 train/Negative/a", "0 valid/Negative/a", "1 train/Positive/a", "1 valid/Positive/a"]);
    }

    #[test]
    fn a_class_folder_in_the_wrong_case_is_suggested() {
        let error = names(&["positive/a.jpg", "positive/b.jpg", "Negative/a.jpg", "Negative/b.jpg"]).unwrap_err();
        assert!(error.contains("\"Positive\"") && error.contains("Did you mean \"positive\""), "{error}");
        let error = names(&["x/positive/a.jpg", "x/negative/a.jpg"]).unwrap_err();
        assert!(error.contains("Did you mean \"negative\"") && error.contains("It has \"x\""), "{error}");
    }

    #[test]
    fn a_set_that_lacks_a_class_is_named() {
        let files = ["train/Negative/a", "train/Positive/a", "valid/Negative/a"];
        let error = names(&files).unwrap_err();
        assert!(error.starts_with("The folder \"valid\" in \"/data\" has no folder for class \"Positive\""), "{error}");
    }

    #[test]
    fn images_beside_the_class_folders_are_a_class_too_many() {
        let both = ["Negative/a", "Negative/b", "Positive/a", "Positive/b"];
        let with = |more: &[&str]| names(&[&both[..], more].concat());
        let error = with(&["Neutral/a.JPG", "Neutral/b.png"]).unwrap_err();
        assert!(error.contains("\"Neutral\" holds 2 images"), "{error}");
        assert_eq!(with(&["notes/readme.txt", "overview.png"]).unwrap().len(), 4);
        assert_eq!(with(&["more/Negative/c", "more/Positive/c"]).unwrap().len(), 6);
    }

    #[test]
    fn a_class_in_a_class_is_refused() {
        let error = names(&["Negative/a", "Negative/Positive/b", "Positive/a"]).unwrap_err();
        assert!(error.contains("\"Negative/Positive\""), "{error}");
    }

    #[test]
    fn one_image_is_too_few() {
        let error = names(&["Negative/a", "Positive/a", "Positive/b"]).unwrap_err();
        assert!(error.contains("\"Negative\"") && error.contains("has 1 usable"), "{error}");
    }

    #[test]
    fn litter_is_known_by_name() {
        assert!([".DS_Store", "._a.jpg", "__MACOSX", "Thumbs.db", "Desktop.ini"].iter().all(|name| is_litter(name)));
        assert!(!is_litter("10014 copy.jpg"));
    }
}
