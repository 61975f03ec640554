"""Every reader of files from outside, with a small file that it reads: what the fuzzers damage.

``READERS`` maps a name to what writes a valid file into an empty folder and gives its place, and what reads that.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
import tarfile
import wave
import zipfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
import yaml
from PIL import Image

from regrow import clips, data, files
from regrow.corruptions.writer import verify
from regrow.corruptions.writer.manifest import MANIFEST, Manifest
from regrow.data import archive, frost, imagenet, marker, packed, pictures, texts
from regrow.data import clips as clip_lists
from regrow.data.published import open_published
from regrow.data.published_clips import ClipSet
from regrow.data.sequences import SequenceBatches
from regrow.data.sets import spoken_prompts, text_sentiment
from regrow.data.spec import Request
from regrow.errors import RegrowError
from regrow.evaluation.records import Record, load_record, save_record
from regrow.photographs import FROST
from regrow.sparsity.export.compact import load_compact, save_compact
from regrow.sparsity.export.csr import load_csr, save_csr
from regrow.study import hub
from regrow.study import recipe as recipes
from regrow.study.cells import load_array, open_cells
from regrow.study.claims.reading import load_claims
from regrow.study.load import _kernels, load_study
from regrow.study.plan import expand
from regrow.study.store import Store
from regrow.study.summaries import load_summaries
from regrow.study.watching import snapshot
from regrow.training.checkpoint import Weights, load_checkpoint, load_weights, save_checkpoint, save_weights
from regrow.training.film import MaskFilm, load_film, save_film
from regrow.training.network import build_network
from regrow.training.settings import Precision
from regrow.training.state_dict import read_state_dict

STREAM = np.random.default_rng(0)
WNIDS = ("n01440764", "n01443537")
RECIPE = {
    "schema": 1,
    "name": "fuzz",
    "data": {"name": "cues", "train_images": 32, "test_images": 8},
    "model": {"name": "mlp", "width": 8},
    "methods": ["dense", {"name": "rigl", "label": "mine", "source": {"label": "dense", "weights": "final"}}],
    "seeds": [0],
    "claims": ["C1"],
    "training": {"steps": 10, "batch": 8, "augment": {"flip": False}},
    "axes": {"training.weight_decay": [0.1]},
}


class Reader(NamedTuple):
    """What writes a valid file, and what reads it; ``mend`` makes checksums fit again after damage."""

    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    mend: Callable[[bytes], bytes] = bytes


def _put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _picture(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(STREAM.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def _tar(members: Sequence[tuple[str, bytes]], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _cifar_pickle(folder: Path) -> Path:
    pixels = STREAM.integers(0, 256, (4, 48), dtype=np.uint8)
    return _put(folder / "data_batch_1", pickle.dumps({"data": pixels, "labels": [3, 1, 4, 1]}, 2))


def _array_set(damaged: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        _put(folder / "labels.npy", _npy(np.tile(np.arange(3), 5)))
        _put(folder / "fog.npy", _npy(STREAM.integers(0, 256, (15, 4, 4, 3), dtype=np.uint8)))
        return folder / damaged

    return write


def _read_array_set(path: Path) -> object:
    cell = open_published(path.parent).cell("fog", 3)
    return np.asarray(cell.images[:]), cell.labels


def _cells(folder: Path) -> Path:
    spec = {"name": "cues", "classes": ["a", "b"], "image_size": 32, "channels": 3, "mean": [0.5], "std": [0.5]}
    spec |= {"splits": {"test": 4}, "padding": "zero", "citation": "", "licence": "", "hint": ""}
    index = {"digests": {"labels.npy": "0", "cues.clean.0.npy": "1", "cues.fog.3.npy": "2"}, "notes": ["one"]}
    return _put(folder / "index.json", json.dumps({**index, "spec": spec, "published": {}}).encode())


def _record(folder: Path) -> Path:
    n = 11
    parts = [STREAM.random(n).astype(np.float32) for _ in range(3)]
    record = Record(np.zeros(n, np.int16), STREAM.random(n) < 0.5, *parts)
    save_record(folder / "r.npz", record, {"weights": "1"})
    return folder / "r.npz"


def _film(folder: Path) -> Path:
    bits = {"fc": STREAM.integers(0, 256, (3, 2), dtype=np.uint8)}
    save_film(folder / "f.npz", MaskFilm(np.arange(3), np.arange(3) * 10, {"fc": (3, 4)}, bits))
    return folder / "f.npz"


def _kernel_maps(folder: Path) -> Path:
    _put(folder / "kernel_sizes.json", b'{"conv": 9}')
    buffer = io.BytesIO()
    np.savez_compressed(buffer, conv=np.ones((3, 4), np.uint16))
    return _put(folder / "kernels.npz", buffer.getvalue())


def _checkpoint(folder: Path) -> Path:
    state = {"fingerprint": "1", "step": 3, "model": {"weight": torch.ones(2, 3)}, "optimizer": {"state": {}}}
    save_checkpoint(folder / "checkpoint.pt", state)
    return folder / "checkpoint.pt"


def _state_dict(folder: Path) -> Path:
    torch.save({"state_dict": {"module.weight": torch.ones(2, 3)}, "epoch": 3}, folder / "mine.pt")
    return folder / "mine.pt"


def _weights(folder: Path) -> Path:
    network = torch.nn.Linear(4, 3)
    save_weights(folder / "model.safetensors", network, {"weight": torch.ones(3, 4) > 0}, {"fingerprint": "1"})
    return folder / "model.safetensors"


def _compact(folder: Path) -> Path:
    mask = torch.tensor([[True, False], [False, True]])
    save_compact(folder / "m.rgz", {"a": torch.eye(2), "b": torch.ones(3)}, {"a": mask}, {"note": "x"})
    return folder / "m.rgz"


def _signed(content: bytes) -> bytes:
    return content[:-32] + hashlib.sha256(content[:-32]).digest()


def _csr(folder: Path) -> Path:
    save_csr(folder / "m.npz", {"a": torch.eye(3), "b": torch.ones(3)}, {"a": torch.eye(3) > 0})
    return folder / "m.npz"


def _recipe(folder: Path) -> Path:
    return _put(folder / "r.yaml", yaml.safe_dump(RECIPE, sort_keys=False).encode())


def _read_recipe(path: Path) -> object:
    return expand(recipes.load(str(path)), Precision())


def _claims(folder: Path) -> Path:
    claim = {"id": "mine", "title": "mine", "metrics": [{"of": ["noise"]}], "groups": ["rigl"], "margin": 1.0}
    return _put(folder / "c.yaml", yaml.safe_dump([claim, "C1"]).encode())


def _store(folder: Path) -> Path:
    Store(folder).create(recipes.parse(RECIPE, "fuzz"), Precision(), {"step_s": {}}, {"python": "3"})
    return folder / "study.yaml"


def _read_store(path: Path) -> object:
    return Store(path.parent).load()


def _published(damaged: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Store(folder).create(recipes.parse(RECIPE, "fuzz"), Precision(), {"step_s": {}}, {"python": "3"})
        names = Store(folder).load()["runs"]
        whole = {"schema": 2, "name": "fuzz", "title": "", "tier": "T0", "environment": {}, "data": {"name": "cues"}}
        whole |= {"corruptions": ["fog"], "severities": [3], "families": {"fog": "weather"}, "common": ["fog"]}
        whole |= {"common_words": "", "notes": [], "started": 1, "analyses": {}, "problems": []}
        _put(folder / "study.json", json.dumps(whole).encode())
        run = {"schema": 2, "name": names[0], "method": "dense", "sparsity": 0.0, "seed": 0, "axes": {}}
        run |= {"state": "done", "reason": "", "attempts": 1, "settings": {}, "result": {"steps": 1}, "plan": {}}
        run |= {"history": [], "attenuation": None, "reliance": None, "analyses": {}, "damaged": []}
        packed_bits = base64.b64encode(np.packbits([1, 1, 0, 1]).tobytes()).decode()
        run |= {"registration": "", "cells": {"fog.3": {"accuracy": 0.75, "n": 4, "correct": packed_bits}}}
        _put(folder / "runs" / f"{names[0]}.json", json.dumps(run).encode())
        return folder / (f"runs/{names[0]}.json" if damaged == "run" else damaged)

    return write


def _read_published(path: Path) -> object:
    return load_summaries(path.parent.parent if path.parent.name == "runs" else path.parent)


def _plain_tar(folder: Path) -> Path:
    return _put(folder / "a.tar", _tar([("x/1.JPEG", b"one"), ("x/2.JPEG", b"two" * 300)]))


def _nested_tar(folder: Path) -> Path:
    inner = _tar([("1.JPEG", b"one"), ("2.JPEG", b"two")])
    return _put(folder / "a.tar", _tar([(f"{wnid}.tar", inner) for wnid in WNIDS]))


def _packed_tar(kind: str) -> Callable[[Path], Path]:
    return lambda folder: _put(
        folder / f"a.tar.{kind}", _tar([("set/one", b"1" * 900), ("set/two", b"2")], f"w:{kind}")
    )


def _extract(path: Path) -> None:
    files.extract_tar(path, path.parent / "out", limit_bytes=10_000)


def _wheel(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "p.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for name in FROST:
            wheel.writestr(f"package/frost/{name}", b"picture" * 20)
    return folder / "p.whl"


def _kit(folder: Path) -> Path:
    from scipy.io import savemat

    rows = np.zeros((2, 1), [(name, "O") for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")])
    for i, wnid in enumerate(WNIDS):
        rows[i, 0] = (i + 1, wnid, "fish", 0)
    meta = io.BytesIO()
    savemat(meta, {"synsets": rows})
    _put(folder / imagenet.KIT / "data/ILSVRC2012_validation_ground_truth.txt", b"1\n2\n1\n")
    return _put(folder / imagenet.KIT / "data/meta.mat", meta.getvalue())


def _truth(folder: Path) -> Path:
    return _kit(folder).with_name("ILSVRC2012_validation_ground_truth.txt")


def _read_kit(path: Path) -> object:
    return imagenet.kit(path.parent.parent.parent).validation()


def _image(kind: str, **options: Any) -> Callable[[Path], Path]:
    return lambda folder: _put(folder / f"x.{kind.lower()}", _picture(kind, **options))


def _read_image(path: Path) -> object:
    return pictures.read_picture(path, 16), np.asarray(pictures.open_picture(path, 4))


def _video(container: str, encoder: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        frames = STREAM.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        if encoder == "mjpeg":
            return _put(folder / "x.avi", clips.as_mjpeg(frames, Fraction(25)))
        content = clips.encode(clips.frames_of(frames), Fraction(25), encoder, {}, container=container)
        return _put(folder / f"x.{container}", content)

    return write


def _read_video(path: Path) -> object:
    n = clips.count(path)
    return clips.read(path), clips.frames_at(path, [0, n - 1]), clips.read(path, 6)


def _manifest(folder: Path) -> Path:
    made_from = {"layout": "npy", "source": "mine", "severities": [1], "n_images": 2}
    entry = {"sha256": "0", "md5": "0", "notes": {}, "versions": {}}
    Manifest(folder, made_from, ["fog", "labels"], {"fog": entry}, {"caveats": ["one"]}).save()
    return folder / MANIFEST


def _read_manifest(path: Path) -> object:
    return Manifest.read(path.parent), verify(path.parent)


def _marked(folder: Path) -> Path:
    _put(folder / "set/a.bin", b"12")
    facts = {"layout": "cifar10", "train": "10", "test": "4"}
    digests = {"a.bin": hashlib.sha256(b"12").hexdigest()}
    text = marker.Marker(marker.caveat_of("pictures", "CIFAR-10"), facts, digests).text()
    return _put(folder / "set" / marker.FILE, text.encode())


def _read_marked(path: Path) -> object:
    found = marker.at(path.parent)
    return found and (found.words(), found.count("train"))


def _pack(damaged: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for label in ("a", "b"):
            for i in range(2):
                _put(folder / "given" / label / f"{i}.png", _picture("PNG"))
        packed.pack(pictures.labelled(folder / "given"), folder / "pack", packed.Form(side=16), threads=1)
        return folder / "pack" / damaged

    return write


def _read_pack(path: Path) -> object:
    found = packed.load(path.parent)
    return [np.asarray(found.open(i)) for i in range(len(found))], found.fingerprint()


def _clip_list(folder: Path) -> Path:
    for name in ("a/1.mp4", "b/2.mp4"):
        _put(folder / "set/fog/3" / name, b"no video")
    return _put(folder / "set/fog/3/clips.txt", b"a/1.mp4 16 0\nb/2.mp4 12 1\n")


def _read_clip_list(path: Path) -> object:
    return ClipSet(path.parents[2]).cell("fog", 3)


def _ucf_list(folder: Path) -> Path:
    _put(folder / "UCF-101/Archery/v_1.avi", b"no video")
    _put(folder / "ucfTrainTestlist/testlist01.txt", b"Archery/v_1.avi\n")
    return _put(folder / "ucfTrainTestlist/classInd.txt", b"1 Archery\n2 Bowling\n")


def _tiny(folder: Path) -> Path:
    _put(folder / "val/images/val_0.JPEG", _picture("JPEG"))
    return _put(folder / "val/val_annotations.txt", b"val_0.JPEG\tn01443537\t0\t32\t44\t62\n")


def _pack_index(damaged: str) -> Reader:
    """The lists of a pack, whose digests would stop all damage before it is read: they are made to fit."""

    def read(path: Path) -> object:
        facts = json.loads((path.parent / packed.FACTS).read_text())
        facts["files"][damaged] = {"size": path.stat().st_size, "sha256": files.file_digest(path)}
        (path.parent / packed.FACTS).write_text(json.dumps(facts))
        return _read_pack(path)

    return Reader(_pack(damaged), read)


def _corpus(folder: Path) -> Path:
    rows = [("positive", "what a day"), ("neutral", 'rain, "again"'), ("negative", "näh"), ("positive", "yes")]
    text = "text,sentiment\n" + "".join(f'"{words.replace(chr(34), chr(34) * 2)}",{label}\n' for label, words in rows)
    return _put(folder / text_sentiment.FOLDER / text_sentiment.FILE, text.encode())


def _read_corpus(path: Path) -> object:
    """The texts; the digest, which would stop all damage before it is read, is made to fit."""
    text_sentiment._parts.cache_clear()
    with mock.patch.object(text_sentiment, "SHA256", files.file_digest(path)):
        found = text_sentiment.read(Request("train", None, [path.parent], False, {}))
    return [texts.decode(row) for row in np.asarray(found.images)]


def _recordings(folder: Path) -> Path:
    for label, voice in enumerate(("en_US_f", "es", "fr", "it", "ru")):
        for number in range(6):
            path = folder / spoken_prompts.FOLDER / "sounds" / voice / f"prompt{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, spoken_prompts.RATE, 0, "NONE", ""))
                file.writeframes((9000 * np.sin(np.arange(400) * (label + 1) / 9)).astype("<i2").tobytes())
    return path


def _read_recordings(path: Path) -> object:
    spoken_prompts._windows.cache_clear()
    roots = [path.parents[2]]
    parts = [spoken_prompts.read(Request(split, None, roots, False, {})) for split in ("train", "test")]
    return [sounds for part in parts for sounds in SequenceBatches(part.images, part.labels, 2, part.spec).batch(0)]


def _hub(damaged: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        settings = expand(recipes.parse(RECIPE, "fuzz"), Precision(channels_last=False))[0].settings
        spec = data.spec("cues")
        model = build_network(settings.model, spec.n_classes, spec.image_size, seed=0, precision=settings.precision)
        mask = (
            {"1.weight": torch.ones_like(model.state_dict()["1.weight"]) > 0}
            if "1.weight" in model.state_dict()
            else {}
        )
        meta = {"settings": settings.model_dump(mode="json"), "data": spec.as_json(), "fingerprint": "0"}
        weights = Weights(dict(model.state_dict()), mask, meta)
        hub.save_pretrained(weights, folder / "hub", file=folder)
        return folder / "hub" / damaged

    return write


def _read_hub(path: Path) -> object:
    return hub.from_pretrained(path.parent)


def _read_hub_of_that_digest(path: Path) -> object:
    """A hub folder whose ``config.json`` knows the digest of the weights, whatever these are."""
    config = json.loads((path.parent / hub.CONFIG).read_text())
    config["weights"]["sha256"] = files.file_digest(path)
    (path.parent / hub.CONFIG).write_text(json.dumps(config))
    return hub.from_pretrained(path.parent)


def _running(damaged: str) -> Callable[[Path], Path]:
    """A study that another process works on: its runs, their logs and its index of cells."""

    def write(folder: Path) -> Path:
        store = Store(folder)
        store.create(recipes.parse(RECIPE, "fuzz"), Precision(), {"step_s": {}}, {"python": "3"})
        run = store.run(store.prepare()[0].name)
        row = {"step": 3, "loss": 1.5, "accuracy": 0.25, "density": 1.0, "images_per_s": 10.0}
        _put(run / "metrics.jsonl", b"".join(json.dumps({**row, "step": step}).encode() + b"\n" for step in (3, 6)))
        _put(run / "state.json", json.dumps({"state": "running", "reason": "", "attempts": 1}).encode())
        _put(run / "result.json", json.dumps({"steps": 10, "wall_s": 2.5}).encode())
        _put(run / "model.safetensors", b"weights")
        _put(run / "plan.json", json.dumps({"n_images": 32, "updates": 3, "interval": 2}).encode())
        _put(run / "analysis/made_from.json", json.dumps({"versions": {"aliasing": 1}, "weights": "1"}).encode())
        _cells(store.cells)
        return next(folder.rglob(damaged))

    return write


def _read_running(path: Path) -> object:
    study = next(parent for parent in path.parents if (parent / "study.yaml").exists())
    return snapshot(study).as_json(), load_study(study)


READERS: dict[str, Reader] = {
    "CIFAR pickle": Reader(_cifar_pickle, files.read_pickle),
    "labels.npy of a set": Reader(_array_set("labels.npy"), _read_array_set),
    "images of a set": Reader(_array_set("fog.npy"), _read_array_set),
    "cell": Reader(_array_set("labels.npy"), load_array),
    "index of cells": Reader(_cells, lambda path: open_cells(path.parent, "cues")),
    "record": Reader(_record, load_record),
    "film of masks": Reader(_film, load_film),
    "kernel maps": Reader(_kernel_maps, lambda path: _kernels(path.parent)),
    "checkpoint": Reader(_checkpoint, lambda path: load_checkpoint(path, "1")),
    "state dict": Reader(_state_dict, read_state_dict),
    "safetensors": Reader(_weights, load_weights),
    "compact file": Reader(_compact, load_compact),
    "compact file, signed": Reader(_compact, load_compact, _signed),
    "CSR file": Reader(_csr, load_csr),
    "recipe": Reader(_recipe, _read_recipe),
    "claims": Reader(_claims, load_claims),
    "study.yaml": Reader(_store, _read_store),
    "study.json": Reader(_published("study.json"), _read_published),
    "run summary": Reader(_published("run"), _read_published),
    "tar": Reader(_plain_tar, lambda path: archive.index(path, cache=path.parent / "cache")),
    "tar of tars": Reader(_nested_tar, lambda path: archive.index(path, nested=True, cache=path.parent / "cache")),
    "tar.gz": Reader(_packed_tar("gz"), _extract),
    "tar.bz2": Reader(_packed_tar("bz2"), _extract),
    "tar.xz": Reader(_packed_tar("xz"), _extract),
    "tar.gz, two files": Reader(_packed_tar("gz"), lambda path: archive.contents(path, ("set/one",), limit_bytes=999)),
    "zip": Reader(_wheel, frost._photographs),
    "kit, meta.mat": Reader(_kit, _read_kit),
    "kit, classes": Reader(_truth, _read_kit),
    "JPEG": Reader(_image("JPEG"), _read_image),
    "progressive JPEG": Reader(_image("JPEG", progressive=True), _read_image),
    "PNG": Reader(_image("PNG"), _read_image),
    "BMP": Reader(_image("BMP"), _read_image),
    "WebP": Reader(_image("WEBP"), _read_image),
    "TIFF": Reader(_image("TIFF"), _read_image),
    "MP4": Reader(_video("mp4", "libx264"), _read_video),
    "Matroska": Reader(_video("matroska", "libx264"), _read_video),
    "AVI": Reader(_video("avi", "mjpeg"), _read_video),
    "manifest": Reader(_manifest, _read_manifest),
    "marker": Reader(_marked, _read_marked),
    "pack.json": Reader(_pack("pack.json"), _read_pack),
    "pack of pictures": Reader(_pack("pictures-00000.bin"), _read_pack),
    "pack, index": _pack_index(packed.INDEX),
    "pack, names": _pack_index(packed.NAMES),
    "corpus of texts": Reader(_corpus, _read_corpus),
    "recording": Reader(_recordings, _read_recordings),
    "hub folder, config.json": Reader(_hub(hub.CONFIG), _read_hub),
    "hub folder, weights": Reader(_hub(hub.WEIGHTS), _read_hub_of_that_digest),
    "watched study, state": Reader(_running("state.json"), _read_running),
    "watched study, run.json": Reader(_running("run.json"), _read_running),
    "watched study, result": Reader(_running("result.json"), _read_running),
    "watched study, log": Reader(_running("metrics.jsonl"), _read_running),
    "watched study, index of cells": Reader(_running("index.json"), _read_running),
    "list of clips": Reader(_clip_list, _read_clip_list),
    "classes of UCF101": Reader(_ucf_list, lambda path: clip_lists.ucf101(path.parents[1], "test01")),
    "notes of Tiny ImageNet": Reader(_tiny, lambda path: pictures.tiny_imagenet(path.parents[1])),
}


def refused(reader: Reader, path: Path) -> bool:
    """Whether a file is refused; anything but a RegrowError goes through."""
    said = ""
    try:
        reader.read(path)
    except RegrowError as error:
        said = str(error)
    assert said.isprintable()
    return bool(said)
