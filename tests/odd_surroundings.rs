//! Promise: no terminal, a tiny one, a reader that has gone away, a full disk behind stdout, an empty environment, names of any bytes:
//! the work is done, or a message says what is wrong.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

use support::Lab;

const PROGRAM: &str = env!("CARGO_BIN_EXE_emo-runner");

/// A script of the shell in the lab, in which `$0` is the program.
fn shell(lab: &Lab, script: &str) -> Output {
    let mut command = Command::new("bash");
    command.args(["-c", script, PROGRAM]).current_dir(lab.path("")).env_remove("EMO_DB");
    let output = command.output().unwrap();
    for bytes in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("panicked"), "{script}: {text}");
    }
    output
}

fn lab_with_sweep() -> Lab {
    let lab = Lab::new();
    lab.write("sweep.toml", &format!("{}[sweep]\nrepeats = 3\n", support::SMALL.replace("\"small\"", "\"sweep\"")));
    lab
}

fn completed(lab: &Lab) -> usize {
    let runs = lab.json(&["report"]);
    runs.as_array().unwrap().iter().filter(|run| run["status"] == "completed").count()
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    for rest in
        ["2>&1 | head -1", "2>&1 | true", ">&-", "2>&-", ">&- 2>&- <&-", "2> /dev/full", "2>&1 | (sleep 0.2; true)"]
    {
        let lab = lab_with_sweep();
        shell(&lab, &format!("\"$0\" sweep sweep.toml {rest}"));
        assert_eq!(completed(&lab), 3, "{rest}");
        shell(&lab, &format!("\"$0\" run small.toml --set seed=99 {rest}"));
        assert_eq!(completed(&lab), 4, "{rest}");
        for command in
            ["report", "show small", "completions bash", "man", "schema", "--help", "report --where x=", "doctor"]
        {
            shell(&lab, &format!("\"$0\" {command} {rest}"));
        }
    }
}

#[test]
fn a_full_disk_behind_stdout_is_told() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    for command in ["report", "show small", "completions bash", "schema", "predict small pictures"] {
        let output = shell(&lab, &format!("\"$0\" {command} > /dev/full"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command}: {told}");
        assert!(told.contains("No space left on device"), "{command}: {told}");
    }
}

#[test]
fn an_empty_environment_is_enough() {
    let lab = lab_with_sweep();
    let output =
        shell(&lab, "env -i \"$0\" sweep sweep.toml && cd / && env -i TMPDIR=/nowhere HOME=/nowhere \"$0\" doctor");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(completed(&lab), 3);
    for setting in ["EMO_LOG='][,=garbage'", "LANG=C LC_ALL=C", "TERM=", "TERM=dumb", "EMO_DB="] {
        let output = shell(&lab, &format!("{setting} \"$0\" check small.toml"));
        assert!(output.status.success(), "{setting}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_working_directory_that_is_gone_is_told() {
    let lab = Lab::new();
    let output = shell(&lab, "mkdir gone && cd gone && rmdir ../gone && \"$0\" run \"$OLDPWD/small.toml\"");
    assert!(matches!(output.status.code(), Some(1..=4)), "{output:?}");
    assert!(!output.stderr.is_empty());
}

/// Every kind of output at every width: nothing breaks, and no line of a table is wider than a wide terminal needs.
#[test]
fn terminals_of_any_width_are_drawn_on() {
    let lab = lab_with_sweep();
    for columns in [1, 20, 40, 80, 200] {
        let mut commands = vec!["sweep sweep.toml --force", "run small.toml --force"];
        commands.extend(["report", "report --points", "report --best", "show small", "plan small.toml"]);
        commands.extend([
            "compare small small",
            "data audit pictures",
            "data describe pictures",
            "check small.toml",
            "--help",
        ]);
        for command in commands {
            let script = format!("script -qec \"stty cols {columns} rows 8; $0 {command}\" /dev/null < /dev/null");
            let output = shell(&lab, &script);
            assert!(output.status.success(), "{columns} {command}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn names_may_be_any_bytes() {
    let lab = Lab::new();
    let odd =
        ["\n", "\t", "'", "\"", "\\", "$(x)", "%s", "\u{202e}", "é", "e\u{301}", " ", "-", "--help", "<b>", "{{x}}"];
    let picture = fs::read(lab.path("pictures/Positive/picture 00.png")).unwrap();
    for (number, name) in odd.iter().enumerate() {
        // The last byte of each is another, so that no two are the same picture.
        let mut bytes = picture.clone();
        bytes.push(number as u8);
        fs::write(lab.path("pictures/Positive").join(format!("{name}.png")), bytes).unwrap();
    }
    fs::write(lab.path("pictures/Positive").join("x".repeat(240) + ".png"), [&picture[..], &[99]].concat()).unwrap();
    lab.ok(&["run", "small.toml"]);
    lab.ok(&["show", "small", "--html", "run.html"]);
    let page = fs::read_to_string(lab.path("run.html")).unwrap();
    assert!(!page.contains("<b>.png"), "names are escaped");
    for to in ["csv", "json", "parquet", "tensorboard"] {
        lab.ok(&["export", "--to", to, "--out", to]);
    }
    let output = lab.run(&["predict", "small", "pictures"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count(), 40 + 16);

    // No UTF-8: such an image is left out by name, or everything is done with it; nothing breaks.
    fs::write(lab.path("pictures/Positive").join(OsStr::from_bytes(b"odd \xff\xfe.png")), picture).unwrap();
    let output = lab.run(&["run", "small.toml", "--force"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 3)) && !told.contains("panicked"), "{told}");
    assert!(told.contains("odd "), "{told}");
    // And as words of the command line.
    let mut command = lab.command(&["run"]);
    let output = command.arg(OsStr::from_bytes(b"no \xff.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    fs::copy(lab.path("small.toml"), lab.path("").join(OsStr::from_bytes(b"odd \xff.toml"))).unwrap();
    fs::remove_file(lab.path("pictures/Positive").join(OsStr::from_bytes(b"odd \xff\xfe.png"))).unwrap();
    let output = lab.command(&["run"]).arg(OsStr::from_bytes(b"odd \xff.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nonsense_of_any_size_is_refused_in_a_moment() {
    let lab = Lab::new();
    let many: Vec<String> = (0..10_000).map(|class| format!("\"class {class}\"")).collect();
    let classes = format!("image_size = [16, 16]\nclasses = [{}]", many.join(", "));
    let layers = format!("conv = [{}]", vec!["[4]"; 2_000].join(", "));
    let small = support::SMALL;
    let files = [
        String::new(),
        "\u{feff}".to_owned(),
        "\0".to_owned(),
        "# only a comment\n".to_owned(),
        small.replace("image_size = [16, 16]", &classes),
        small.replace("conv = [[4]]", &layers),
        small.replace("conv = [[4]]", "conv = [[1000000000]]"),
        small.replace("conv = [[4]]", "conv = []"),
        small.replace("conv = [[4]]", "conv = [[]]"),
        small.replace("dense = [8]", "dense = [99999999999]"),
        small.replace("[16, 16]", "[100000, 100000]"),
        small.replace("[16, 16]", "[-0, 16]"),
        small.replace("[16, 16]", "[16.0, nan]"),
        small.replace("epochs = 4", "epochs = 99999999999999999999"),
        small.replace("epochs = 4", "epochs = -0.0"),
        small.replace("dropout = 0.25", "dropout = -0.0\nx = inf"),
        format!("{small}{}", "[".repeat(100_000)),
        format!("{small}x = {}1{}", "[".repeat(50_000), "]".repeat(50_000)),
        format!("{small}{} = 1", vec!["a"; 20_000].join(".")),
        format!(
            "{small}[sweep]\n[sweep.axes]\nseed = [{}]\n\"train.epochs\" = [{}]\n\"train.batch_size\" = [{}]\n",
            (0..1000).map(|n| n.to_string()).collect::<Vec<_>>().join(","),
            (1..1001).map(|n| n.to_string()).collect::<Vec<_>>().join(","),
            (1..1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
        ),
    ];
    for (number, text) in files.iter().enumerate() {
        lab.write("odd.toml", text);
        let begun = std::time::Instant::now();
        for command in ["check odd.toml", "plan odd.toml", "sweep odd.toml --dry-run"] {
            let output = shell(&lab, &format!("ulimit -v 16000000; timeout 60 \"$0\" {command}"));
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let shown: String = text.chars().take(80).collect();
            assert!(matches!(output.status.code(), Some(0..=3)), "{number} {command} {shown}: {output:?}");
            assert!(output.status.success() || !told.trim().is_empty(), "{number} {command}: it says nothing");
            assert!(told.len() < 20_000, "{number} {command}: a message of {} bytes", told.len());
        }
        assert!(begun.elapsed().as_secs() < 30, "{number}: {:?}", begun.elapsed());
    }
}

#[test]
fn ten_thousand_classes_and_none_are_refused_in_a_few_lines() {
    let lab = Lab::new();
    for class in 0..10_000 {
        fs::create_dir_all(lab.path(&format!("many/class {class}"))).unwrap();
    }
    fs::create_dir_all(lab.path("none/Negative")).unwrap();
    fs::create_dir_all(lab.path("none/Positive")).unwrap();
    fs::create_dir_all(lab.path("empty")).unwrap();
    for source in ["many", "none", "empty"] {
        lab.write("odd.toml", &support::SMALL.replace("\"pictures\"", &format!("{source:?}")));
        let (out, err) = lab.expect(3, &["run", "odd.toml"]);
        assert!(out.is_empty() && err.len() < 3_000 && err.contains(source), "{source}: {err}");
        let output = lab.run(&["data", "audit", source]);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{source}: {output:?}");
    }
}

#[test]
fn what_is_written_goes_where_its_name_points() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let script = "mkfifo pipe; echo keep > real; ln -s real link; cat pipe > read & \
                  \"$0\" report --html pipe && \"$0\" report --html link && \"$0\" report --html /dev/full; code=$?; wait; exit $code";
    let output = shell(&lab, script);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && told.contains("No space left on device"), "{told}");
    assert!(fs::read_to_string(lab.path("read")).unwrap().contains("<html"), "a pipe is written to");
    assert!(fs::symlink_metadata(lab.path("link")).unwrap().is_symlink());
    assert!(fs::read_to_string(lab.path("real")).unwrap().contains("<html"), "a link is followed");
    std::os::unix::fs::symlink("later.html", lab.path("dangling")).unwrap();
    lab.ok(&["report", "--html", "dangling"]);
    assert!(lab.path("later.html").is_file(), "a link whose target is not there yet is followed, too");
    std::os::unix::fs::symlink("circle", lab.path("circle")).unwrap();
    lab.expect(1, &["report", "--html", "circle"]);
    let kind = std::os::unix::fs::FileTypeExt::is_fifo(&fs::symlink_metadata(lab.path("pipe")).unwrap().file_type());
    assert!(kind, "a pipe stays one");
}

#[test]
fn what_has_no_end_is_not_read_to_it() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    lab.write("endless.toml", "extends = \"/dev/zero\"\n");
    fs::File::create(lab.path("huge.png")).unwrap().set_len(3 << 30).unwrap();
    for (command, code) in [
        ("check endless.toml", 2),
        ("check /dev/zero", 2),
        ("predict small /dev/zero", 3),
        ("predict small huge.png", 3),
        ("predict small - < huge.png", 3),
    ] {
        let output = shell(&lab, &format!("ulimit -v 2000000; timeout 60 \"$0\" {command}"));
        assert_eq!(output.status.code(), Some(code), "{command}: {output:?}");
    }
}

#[test]
fn names_cannot_draw_on_the_terminal() {
    let lab = Lab::new();
    fs::write(lab.path("pictures/Positive").join("bad\u{1b}[2J\u{1b}[31m\nFAKE all is lost.png"), "x").unwrap();
    let words = [&["run", "small.toml"][..], &["data", "describe", "pictures"], &["data", "audit", "pictures"]];
    for arguments in words {
        let output = lab.run(arguments);
        let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!shown.contains('\u{1b}') && !shown.lines().any(|line| line.starts_with("FAKE")), "{shown}");
        assert!(shown.contains("FAKE"), "it is named all the same: {shown}");
    }
    lab.write("names", "pictures/Positive/picture 00.png\r\npictures/Positive/picture 01.png\r\n");
    let output = shell(&lab, "\"$0\" predict small - < names");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    assert!(output.status.success(), "names with the line ends of Windows: {output:?}");
    let odd = fs::read(lab.path("pictures/Positive/picture 00.png")).unwrap();
    fs::write(lab.path("pictures/Positive").join("\u{85}\u{7f}.png"), [&odd[..], b"x"].concat()).unwrap();
    lab.ok(&["run", "small.toml", "--force"]);
    lab.json(&["show", "small"]);
    let (_, err) = lab.expect(2, &["show", "no\u{1b}[31m"]);
    assert!(!err.contains('\u{1b}'), "{err}");
    lab.expect(2, &["check", "small.toml", "--set", "data.classes=[\"a\\nb\", \"c\"]"]);
}

#[test]
fn what_says_nothing_is_refused() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    for arguments in [
        &["show", ""][..],
        &["predict", "", "pictures"],
        &["replay", ""],
        &["check", "small.toml", "--set", "extends=\"other.toml\""],
        &["check", "small.toml", "--set", "train.epochs=1\nseed=3"],
    ] {
        lab.expect(2, arguments);
    }
    fs::create_dir(lab.path("nothing")).unwrap();
    let (_, err) = lab.expect(3, &["predict", "small", "nothing"]);
    assert!(err.contains("no images in nothing"), "{err}");
}

#[test]
fn damaged_weights_are_neither_used_nor_given_away() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let model = lab.run_folders("results")[0].join("model.safetensors");
    let whole = fs::read(&model).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() - 3] ^= 1;
    for (bytes, reason) in [(whole[..500].to_vec(), "cannot be read"), (flipped, "not those that were written")] {
        fs::write(&model, bytes).unwrap();
        for arguments in [
            &["predict", "small", "pictures"][..],
            &["export", "small", "--to", "safetensors", "--out", "out"],
            &["export", "small", "--to", "onnx", "--out", "out"],
        ] {
            let (_, err) = lab.expect(1, arguments);
            assert!(err.contains(reason) && err.contains("--force"), "{arguments:?}: {err}");
        }
    }
    fs::remove_file(&model).unwrap();
    let (_, err) = lab.expect(1, &["export", "small", "--to", "safetensors", "--out", "out"]);
    assert!(err.contains("model.safetensors"), "the file that is missing is named: {err}");
}
