"""What can go wrong around a run, done on purpose: each fault is one line of FAULTS, and says what could be seen.

tests/test_faults.py holds every one to what is expected; `python -m benchmarks.faults` prints the table.
"""

from tests.faults.around import (
    asked_again,
    exported,
    full_disk,
    homeless,
    odd_argument,
    odd_paths,
    own_class,
    own_yaml,
    read_only,
    study_yaml,
    turned_read_only,
    with_clock,
    without_wandb,
)
from tests.faults.data import (
    cut,
    cut_image,
    damaged_after_the_check,
    damaged_cache,
    empty,
    garbage,
    hostile_cache,
    nested,
    no_objects,
    small,
    swapped,
    wide,
    with_file,
    with_label,
    with_list,
)
from tests.faults.doing import Fault
from tests.faults.runs import (
    journal_cut,
    later,
    of_another_kind,
    own_labels,
    record_of_a_study,
    study_json,
    with_more,
    without_locks,
)

STUDY = b"question: why\nseeds: [0]\nvariants:\n  baseline: {attention: baseline}\n"
OWN = b"name: mine\n_target_: mine.Mine\n"
MARK = b"\xef\xbb\xbf"
BEST, LAST = "train/weights/best.pt", "train/weights/last.pt"
LABEL = r"refused: .*train has unusable files: .*a\.txt, line 2 "
LIST = r"refused: .*list\.txt, line 2 would be skipped by Ultralytics: .*"
IMAGE = r"refused: .*train has unusable files: .*"
NEWER = r"refused: .*record\.json has format 99, .*; upgrade the program, or .*; every file as it was$"
NO_RECORD = r"refused: .*record\.json is not a record .*; move .* away to run it anew; every file as it was$"
DAMAGED = r"nothing trained; .*best\.pt cannot be read .*; force=true .*; every file as it was$"
RESCANNED = r"finished with the same metrics; no code ran; cache scanned anew: \(16, 0, 0, 0, 16\)"
GOES_ON = r"; then finished; \['resume'\]"
EPOCH = "the epoch in progress"
DAY, LATENCY = 86400.0, ("latency=default", "latency.seconds=0.1")
TOLD = r"^finished after 3 epochs; clock_set \(86400\); clock_set \(-172800\)$"
TIMED = r"^finished after ([3-9]|\d\d+) epochs; clock_set \(86400\)$"
NO_WANDB = (
    "finished after 3 epochs; Weights & Biases failed.*; tracking_lost .*; the next run: finished after 3 epochs$"
)
MINE = r"exit status 1 without a traceback: error: attention at site p3: Mine "
LINE = r".*/mine\.py, line \d+\); "
FUSED = MINE + "gives another output once the network is fused" + LINE
IN_PLACE, TWO = MINE + "changes its input in place" + LINE, MINE + "returns a tuple in training mode" + LINE
FAULTS = [
    Fault("label: a value is NaN", with_label("0 nan 0.5 0.2 0.2"), LABEL + "has a value that is not finite"),
    Fault("label: negative width", with_label("0 0.5 0.5 -0.2 0.2"), LABEL + r"has -0\.2; coordinates are shares"),
    Fault("label: coordinates in pixels", with_label("0 320 240 50 50"), LABEL + r"has 320; coordinates are shares"),
    Fault("label: class out of range", with_label("7 0.5 0.5 0.2 0.2"), LABEL + "has class 7, and names: has 0 to 1"),
    Fault("label: class -1", with_label("-1 0.5 0.5 0.2 0.2"), LABEL + "has class -1; classes are whole numbers"),
    Fault("label: class 0.5", with_label("0.5 0.5 0.5 0.2 0.2"), LABEL + r"has class 0\.5; classes are whole"),
    Fault("label: six columns", with_label("0 0.5 0.5 0.2 0.2 0.9"), LABEL + "has 6 columns; it needs 5"),
    Fault("label: four columns", with_label("0 0.5 0.5 0.2"), LABEL + "has 4 columns; it needs 5"),
    Fault("label: a word", with_label("cat 0.5 0.5 0.2 0.2"), LABEL + "is not a row of numbers: 'cat 0.5"),
    Fault("label: a polygon among boxes", with_label("0 .1 .1 .2 .2 .3 .1"), LABEL + "is a box among polygons, or"),
    Fault("label: not UTF-8", with_label(b"\xff\xfe0"), r"refused: .*a\.txt is not text in UTF-8"),
    Fault("label: one is empty", with_file("labels/train/a.txt", empty), "accepted", "nothing: a background"),
    Fault("label: all are empty", with_file("labels/train", no_objects), r"refused: .*no label of train has an object"),
    Fault("image: JPEG cut short", with_file("images/train/a.jpg", cut), IMAGE + r"a\.jpg is a truncated JPEG"),
    Fault("image: JPEG is noise", with_file("images/train/a.jpg", garbage), IMAGE + r"a\.jpg is not an intact image"),
    Fault("image: PNG cut short", with_file("images/train/b.png", cut), IMAGE + r"b\.png is not an intact image"),
    Fault("image: PNG is noise", with_file("images/train/b.png", garbage), IMAGE + r"b\.png is not an intact image"),
    Fault("image: empty file", with_file("images/train/b.png", empty), IMAGE + r"b\.png is not an intact image"),
    Fault(
        "image: smaller than 10 px", with_file("images/train/b.png", small), IMAGE + r"b\.png is refused by.*<10 pix"
    ),
    Fault("image: BMP cut short", with_file("images/train/c.bmp", cut_image), IMAGE + r"c\.bmp is not an intact image"),
    Fault(
        "image: TIFF cut short", with_file("images/train/c.tif", cut_image), IMAGE + r"c\.tif is not an intact image"
    ),
    Fault(
        "image: WebP cut short", with_file("images/train/c.webp", cut_image), IMAGE + r"c\.webp is not an intact image"
    ),
    Fault(
        "image: too wide for OpenCV", with_file("images/train/c.png", wide), IMAGE + r"c\.png is not an intact image"
    ),
    Fault(
        "image: damaged after the check",
        damaged_after_the_check,
        r"failed; images_dropped \(1\); data=.* changed",
        "the run",
    ),
    Fault("image list: trailing blank", with_list(b"./images/train/b.png \n"), LIST + "ends with spaces"),
    Fault("image list: darknet's columns", with_list(b"./images/train/b.png 0 .5 .5 .1 .1\n"), LIST + "has more than"),
    Fault("image list: a list in a list", with_list(b"other.txt\n"), LIST + "is a list in a list"),
    Fault("image list: relative without ./", with_list(b"images/train/b.png\n"), r"refused: .*line 2: .*with \./"),
    Fault("image list: Latin-1", with_list(b"# \xe9\n"), r"refused: .*list\.txt, which is not UTF-8 .*\(line 2\)"),
    Fault("labels: classes swapped, sizes and times kept", swapped, "^trained; another run$"),
    Fault("validation images in a sub-folder, and a video", nested, "^finished; latency of 2 images$"),
    Fault("label cache: cut short", damaged_cache(lambda cache, _: cache.read_bytes()[:200]), RESCANNED, slow=True),
    Fault("label cache: noise", damaged_cache(lambda *_: b"\x93NUMPY" + bytes(99)), RESCANNED),
    Fault("label cache: with code in it", damaged_cache(hostile_cache), RESCANNED),
    Fault("finished run: record.json cut short", asked_again("record.json", cut), NO_RECORD),
    Fault("finished run: record.json is noise", asked_again("record.json", garbage), NO_RECORD),
    Fault("finished run: record.json of a later version", asked_again("record.json", later), NEWER),
    Fault("finished run: a field of another kind", asked_again("record.json", of_another_kind), NO_RECORD),
    Fault("finished run: a field nobody knows", asked_again("record.json", with_more), "nothing trained; every file"),
    Fault("finished run: its record cut short, status asked", record_of_a_study(cut), "1 unreadable.*unreadable: "),
    Fault("interrupted run: journal and state cut short", journal_cut, r"finished; \['checkpoint_damaged', 'resume'\]"),
    Fault("run of an earlier version: classes exchanged since", own_labels, "the old run; .* not reused.* changed at"),
    Fault("study.json: cut short", study_json(cut), r"refused: .*study\.json is no study .*; move it away"),
    Fault("study.json: of a later version", study_json(later), r"refused: .*has format 99.*; upgrade the program"),
    Fault("disk: no locks", without_locks, r"refused: .*cannot be locked \(No locks.*another disk.*; nothing trained"),
    Fault("finished run: best.pt cut short", asked_again(BEST, cut), DAMAGED),
    Fault("finished run: best.pt is noise", asked_again(BEST, garbage), DAMAGED),
    Fault("finished run: last.pt cut short", asked_again(LAST, cut), "nothing trained; every file as it was$"),
    Fault("finished run: last.pt is noise", asked_again(LAST, garbage), "nothing trained; every file as it was$"),
    Fault("finished run: exported, best.pt cut short", exported, r"refused: .*best\.pt cannot be read .*force=true"),
    Fault("study YAML: byte-order mark", study_yaml(MARK + STUDY + b"  acmix: {attention: acmix}\n"), "read: why"),
    Fault("study YAML: tab", study_yaml(STUDY + b"\tacmix: {}\n"), r"refused: .*mine\.yaml .*line 5 has a tab"),
    Fault(
        "study YAML: Latin-1",
        study_yaml(STUDY.replace(b"y", b"\xe9")),
        r"refused: .*mine\.yaml is not text in UTF-8; save",
    ),
    Fault("attention YAML: byte-order mark", own_yaml(MARK + OWN), "exit status 0 without a traceback"),
    Fault(
        "attention YAML: tab",
        own_yaml(OWN + b"\tx: 1\n"),
        r"1 without a traceback: .*mine\.yaml .*line 3 has a tab",
    ),
    Fault("own class: a Conv with another forward", own_class("return x * super().forward(x)"), FUSED, slow=True),
    Fault("own class: changes its input", own_class("x += 1; return x"), IN_PLACE, slow=True),
    Fault("own class: two outputs in training", own_class("return (x, x) if self.training else x"), TWO, slow=True),
    Fault("output_dir: with =", odd_argument, r"exit status 1 without a traceback: error: .*needs quotes.*/a=b'"),
    Fault("output_dir: read-only file system", read_only, "refused: output_dir=.* (cannot be|is not writable)"),
    Fault(
        "disk turns read-only",
        turned_read_only,
        r"stopped: .*is no longer writable \(Read-only.*" + GOES_ON,
        EPOCH,
    ),
    Fault("disk fills up during a checkpoint", full_disk, "stopped: .*has no space left.*" + GOES_ON, EPOCH, slow=True),
    Fault("W&B's process killed", without_wandb, NO_WANDB, "what W&B had not written; an event says so", slow=True),
    Fault("clock set on by a day, then back by two", with_clock([DAY, -DAY], *LATENCY), TOLD),
    Fault("clock set on by a day, with trainer.time", with_clock([DAY], "trainer.time=0.015"), TIMED, slow=True),
    Fault("blanks and Chinese characters in paths", odd_paths, "^finished after 1 epochs$", slow=True),
    Fault("HOME not set", homeless(None), r"status 0 without a traceback; \['finished'\]", slow=True),
    Fault("HOME not writable", homeless("/proc/no"), r"status 0 without a traceback; \['finished'\]", slow=True),
]
