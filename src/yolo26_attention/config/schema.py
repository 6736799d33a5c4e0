"""The schema of every group in `conf/`.

YAML selects and these dataclasses define: a misspelt key, a wrong type or an unknown option fails when the
configuration is composed. This file imports neither torch nor ultralytics, to keep `--help`, `--cfg` and completion
fast. Ultralytics' arguments keep their names (`lr0`, `close_mosaic`), so its documentation applies.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from omegaconf import MISSING

from yolo26_attention.attention.option_field import option
from yolo26_attention.attention.options import ATTENTION_SCHEMAS
from yolo26_attention.config.errors import ConfigError as ConfigError  # re-export


@dataclass
class PlaceboAttentionConfig:
    """A plain convolution block of the same size as another attention, which the group `placebo` names."""

    name: str = "placebo"
    _target_: str = "yolo26_attention.attention.placebo.Placebo"
    shortcut: bool = option(True, "add the input to the output")


@dataclass
class MixConfig:
    """Several attention modules in one network: for each site a name, a mapping with name and options, or a list."""

    name: str = "mix"
    # Any, because Hydra adds no key to a dict.
    grafts: Any = option(
        None, "what goes to each site, such as {p3: acmix, p5: {name: cbam, mode: replace}}", "a mapping by site"
    )


class MatchBy(StrEnum):
    """The quantity in which a placebo equals the attention that it matches."""

    parameters = "parameters"
    flops = "flops"


@dataclass
class PlaceboConfig:
    """The attention that `attention=placebo` matches; no effect on any other attention."""

    matches: str = option("acmix", "the attention to match", "another attention, or the dotted path of a class")
    options: Any = option(None, "options of that attention, such as {kernel_att: 5}; null: its defaults", "a mapping")
    by: MatchBy = option(MatchBy.parameters, "what is matched; flops are counted at trainer.imgsz")


class Mode(Enum):  # no StrEnum, because `replace` is a method of str
    """How attention joins a site: after its block, instead of it, or instead of the 3x3 convolutions inside it."""

    append = "append"
    replace = "replace"
    bottleneck = "bottleneck"


class Gate(StrEnum):
    """Initial weight of appended attention: full, or zero, by a learned scalar that starts at 0."""

    none = "none"
    zero = "zero"


@dataclass
class PlacementConfig:
    """The attention's sites, by role instead of layer number, and how it joins them."""

    sites: list[str] = MISSING  # sites or sets of sites: p3, backbone_p3, c2psa, sppf, neck, backbone, all, ...
    mode: Mode = Mode.append
    gate: Gate = Gate.none  # zero: only with mode append


@dataclass
class ModelConfig:
    """The network, YOLO26 or a baseline, and its starting checkpoint."""

    name: str = MISSING
    weights: str | None = None  # null: random start; an official name (yolo26n.pt) or a path
    yaml: str | None = None  # your own detection network instead: path of its YAML in Ultralytics' format

    @property
    def source(self) -> str:
        """What the network is built from: the path of a YAML, or a name."""
        return self.yaml or self.name


@dataclass
class DigitsConfig:
    """The embedded data set: real handwritten digits in generated scenes (sizes in pixels)."""

    name: str = "digits"
    yaml: str | None = None  # your own data set instead: path of its data.yaml
    train_images: int = 512
    val_images: int = 128
    test_images: int = 0  # made of scans that are in no training or validation image; runs are finally scored on them
    imgsz: int = 160
    seed: int = 0
    download: bool = False  # whether to run the YAML's download step if images are missing
    groups: str | None = None  # of dependent images: a regular expression with (one group), or a file


@dataclass
class PublicDataConfig:
    """A data set that Ultralytics knows by name."""

    name: str = MISSING
    yaml: str = MISSING
    download: bool = False
    groups: str | None = None  # of dependent images: a regular expression with (one group), or a file


# Name of a user's data set in Pascal VOC format; it is replaced by the name of its folder.
PASCAL_VOC = "pascal_voc"


@dataclass
class VocDataConfig:
    """A data set in Pascal VOC format: Annotations/, JPEGImages/ and ImageSets/Main/{train,val,test}.txt."""

    name: str = MISSING
    source: str | None = None  # the folder that contains these
    download: bool = False  # whether to fetch the archive at `url` if it is not there
    url: str | None = None  # https address of a zip archive of such a folder; null: there is none
    digest: str | None = None  # SHA-256 over its images, boxes and splits; null: any
    groups: str | None = None  # of dependent images: a regular expression with (one group), or a file


@dataclass
class GraftOptimizerConfig:
    """How the optimizer treats the graft's parameters; the defaults leave Ultralytics' groups as they are.

    MuSGD applies Muon to all parameters with 2 or 4 dimensions, including ACmix's shift kernels, and weight decay to
    all except biases and norms, including ACmix's two rates.
    """

    lr_factor: float = 1.0  # factor on the learning rate of the parameter's group
    muon: bool = True  # false: MuSGD updates the graft by SGD alone
    weight_decay: float | None = None  # replaces optimizer.weight_decay, scaled alike; null: that of the group
    frozen: bool = False  # the graft keeps its initial values


@dataclass
class OptimizerConfig:
    """Options shared by all optimizers; `auto` chooses its own learning rate and momentum."""

    name: str = MISSING
    lrf: float = 0.01
    weight_decay: float = 0.0005
    warmup_momentum: float = 0.8
    cos_lr: bool = False
    attention: GraftOptimizerConfig = field(default_factory=GraftOptimizerConfig)


@dataclass
class TunedOptimizerConfig(OptimizerConfig):
    """An optimizer with a given learning rate and momentum, not chosen by Ultralytics."""

    lr0: float = MISSING
    momentum: float = 0.937
    warmup_bias_lr: float = 0.1


class Select(StrEnum):
    """The epoch whose network is scored, measured and kept as best.pt."""

    best = "best"
    last = "last"


@dataclass
class TrainerConfig:
    """Arguments of Ultralytics' detection trainer, under their own names and with its defaults."""

    epochs: int = MISSING
    batch: int | float = 16
    nbs: int = 64  # nominal batch: gradients accumulate over nbs / batch batches before a step
    warmup_epochs: float = 3.0
    imgsz: int = 640
    device: str | None = None  # null: the first GPU, else the CPU; 0; 0,1; cpu
    workers: int = 8
    threads: int | None = None  # for CPU training; null: Ultralytics' choice, all cores but one, at most 8
    time: float | None = None  # hours; overrides epochs
    steps: int | None = None  # optimizer steps; overrides epochs
    patience: int = 100
    amp: bool | str = True
    deterministic: bool = True
    single_cls: bool = False
    rect: bool = False
    close_mosaic: int = 10
    fraction: float | int = 1.0
    freeze: Any = None  # stock layers: a number of layers, a list of their indices, or stock for all of them
    multi_scale: float = 0.0
    compile: bool | str = False
    channels_last: bool | None = None
    cache: bool | str = False
    val: bool = True
    select: Select = (
        Select.best
    )  # best: the epoch with the highest score on the validation images; last: nothing chosen
    plots: bool = True
    save_period: int = -1
    cls_remap: bool = True
    conf: float | None = None
    iou: float = 0.7
    max_det: int = 300
    box: float = 7.5
    cls: float = 0.5
    cls_pw: float = 0.0
    dfl: float = 1.5
    hsv_h: float = 0.015
    hsv_s: float = 0.7
    hsv_v: float = 0.4
    degrees: float = 0.0
    translate: float = 0.1
    scale: float = 0.5
    shear: float = 0.0
    perspective: float = 0.0
    flipud: float = 0.0
    fliplr: float = 0.5
    bgr: float = 0.0
    mosaic: float = 1.0
    mixup: float = 0.0
    cutmix: float = 0.0
    copy_paste: float = 0.0
    copy_paste_mode: str = "flip"

    def __post_init__(self) -> None:
        """Give notations of the same training one form, as Ultralytics does: a fraction of 1, and the precision."""
        if type(self.fraction) is int and self.fraction == 1:
            self.fraction = 1.0
        if isinstance(self.amp, str):
            self.amp = False if self.amp.lower() == "fp32" else self.amp.lower()


class TrackingMode(StrEnum):
    """Mode of the Weights & Biases run."""

    offline = "offline"
    online = "online"
    disabled = "disabled"


@dataclass
class TrackingConfig:
    """Weights & Biases: offline needs no account."""

    mode: TrackingMode = TrackingMode.offline
    project: str = "yolo26-attention"
    entity: str | None = None
    tags: list[str] = field(default_factory=list)
    upload_weights: bool = False  # log best.pt as an artifact


class Backend(StrEnum):
    """The runtime for the trained and the stock model."""

    eager = "eager"
    compiled = "compiled"
    cuda_graph = "cuda_graph"
    onnxruntime = "onnxruntime"
    openvino = "openvino"
    tensorrt = "tensorrt"


class Precision(StrEnum):
    """Precision of the deployed model."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


@dataclass
class LatencyConfig:
    """Timing of the trained and the stock model, deployed alike and timed in turn on real images."""

    enabled: bool = True
    backend: Backend = Backend.eager
    device: str | None = None  # null: as in the training; 0; cpu
    precision: Precision | None = None  # null: fp16 on a GPU, fp32 on a CPU
    batch: int = 1
    imgsz: int | None = None  # null: trainer.imgsz
    threads: int | None = None  # CPU threads; null: as in the training
    seconds: float = 10.0  # time budget for the model alone, and again for end to end; more for more networks
    patience: float | None = None  # seconds to wait for a quiet machine; null: 0 for a run, 120 for a whole study
    max_pairs: int = 10_000
    width: float = 0.01  # stop when the 95 % interval is narrower than this fraction of the ratio
    throughput_batches: list[int] = field(default_factory=lambda: [8])  # batch sizes for images per second; []: none
    again: bool = False  # measure a finished run again even if it was already measured with these options


@dataclass
class Config:
    """The complete configuration.

    Groups are Any because the selected option brings its own schema (OmegaConf 2.3 also fails to merge a nested schema
    with unions).
    """

    attention: Any = MISSING
    placement: Any = MISSING
    model: Any = MISSING
    data: Any = MISSING
    optimizer: Any = MISSING
    trainer: Any = MISSING
    tracking: Any = MISSING
    latency: Any = MISSING
    placebo: PlaceboConfig = field(default_factory=PlaceboConfig)
    seed: int = 0
    repeat: int = 0  # 1, 2, ...: the same training once more, as a separate run
    study: str = "default"
    output_dir: str = "outputs"
    force: bool = False  # train again even if the run is finished; the finished run is kept in replaced/
    retry: bool = True  # false: skip runs that failed, the default of python -m src.sweep
    pause: int | None = None  # completed epochs after which the process ends; the same command continues the run
    trust: bool = False  # allow external code from a checkpoint or a dotted path
    objectives: list[str] = field(default_factory=lambda: ["map50_95"])  # returned to Hydra's sweepers in this order


@dataclass
class DescribeConfig(Config):
    """Options of `python -m src.describe`: those of a run, and options of what is printed."""

    layers: bool = False  # measure every layer of the deployed network
    markdown: bool = False  # print only the table of layers, as Markdown


@dataclass
class ExportConfig:
    """Options of `python -m src.export`."""

    run: str = MISSING  # name, hash or folder; STUDY/VARIANT, or best
    study: str | None = None  # of run=best
    format: str = "onnx"
    imgsz: Any = None  # side, or [height, width]; null: as in the training
    batch: int = 1  # batch size of the graph; with dynamic=true, the largest one
    dynamic: bool = False  # whether the graph takes any batch, height and width
    half: bool = False  # 16-bit weights
    int8: bool = False  # 8-bit weights, calibrated on the validation images
    simplify: bool | None = None  # null: Ultralytics' default
    nms: bool | None = None  # whether the graph holds non-maximum suppression; false: the head that needs none
    opset: int | None = None  # version of the ONNX operator set; null: the newest that is supported
    check: bool = True  # compare with PyTorch on the validation images
    trust: bool = False  # allow external code from the checkpoint
    output_dir: str = "outputs"


SCHEMAS: dict[str, dict[str, type]] = {
    "attention": {**ATTENTION_SCHEMAS, "placebo": PlaceboAttentionConfig, "mix": MixConfig},
    "placement": {"sites": PlacementConfig},
    "model": {"yolo26": ModelConfig},
    "data": {"digits": DigitsConfig, "public": PublicDataConfig, "voc": VocDataConfig},
    "optimizer": {"auto": OptimizerConfig, "tuned": TunedOptimizerConfig},
    "trainer": {"detection": TrainerConfig},
    "tracking": {"wandb": TrackingConfig},
    "latency": {"paired": LatencyConfig},
}
